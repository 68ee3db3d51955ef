(* What curvature allows (claims C3, C10): the basin of the mask, and what the leakage of one layer may take off the loss.
   Mirrors bounds/gates/theorems/curvature.py. *)

Require Import Reals Lra Psatz List.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Vectors Gates GatesLevels.
From Localist Require PenaltyGlobal.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

(* Of numbers that are not negative the norm is at most the sum. *)
Lemma norm_below_sum {G} (groups : list G) s : (forall c, In c groups -> 0 <= s c) -> norm groups s <= sum s groups.
Proof.
  intros P. apply norm_le; [apply sum_nonneg, P|]. unfold dot. rewrite <- sum_scal. apply sum_le. intros c Hc.
  apply Rmult_le_compat_r; auto. apply sum_term; auto.
Qed.

Section Basin.
Context {G : Type}.
Variables (groups : list G) (J : (G -> R) -> R) (d s : G -> R) (f' f'' : R -> R) (gamma M : R).
Definition ray (t : R) : G -> R := fun c => t * s c.
Local Notation rho := (norm groups s).
Hypothesis box : forall c, In c groups -> 0 <= s c.
Hypothesis smooth : (forall t, is_derive (fun t => J (ray t)) t (f' t)) /\ (forall t, is_derive f' t (f'' t)).
Hypothesis slope_there : f' 0 = sum (fun c => d c * s c) groups.
Hypothesis steep : forall c, In c groups -> gamma <= d c.
Hypothesis gamma_nonneg : 0 <= gamma.
Hypothesis bent : forall t, 0 <= t <= 1 -> - (M * (rho * rho)) <= f'' t.

Theorem gate_basin : Bound.gate_basin M gamma rho <= J (ray 1) - J (ray 0).
Proof.
  unfold Bound.gate_basin. destruct smooth as [D1 D2].
  assert (H := PenaltyGlobal.curvature_gain_ray (fun t => J (ray t)) f' f'' rho (- gamma) M (norm_nonneg groups s) D1 D2).
  assert (S : gamma * rho <= f' 0).
  { rewrite slope_there. apply Rle_trans with (gamma * sum s groups).
    - apply Rmult_le_compat_l; auto. apply norm_below_sum, box.
    - rewrite <- sum_scal. apply sum_le. intros c Hc. apply Rmult_le_compat_r; auto. }
  specialize (H ltac:(lra) bent). lra.
Qed.

(* Within 2 gamma/M the mask is strictly better. *)
Theorem gate_basin_rises : 0 < M -> 0 < rho < Form.basin gamma M -> J (ray 0) < J (ray 1).
Proof.
  intros Mp [P H]. assert (B := gate_basin). unfold Bound.gate_basin, Form.basin in *.
  apply (Rmult_lt_compat_r M) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra.
  assert (0 < rho * (gamma - M * rho / 2)) by (apply Rmult_lt_0_compat; lra). simpl in B. lra.
Qed.
End Basin.

(* The gates of one layer: o_i = o_in,i + eps_i (o_out,i - o_in,i), and the loss lies above its quadratic of curvature -M. *)
Section Bent.
Context {I C : Type}.
Variables (rows : list I) (coords : list C) (loss : (I -> C -> R) -> R) (g o_in o_out : I -> C -> R) (eps : I -> R).
Variables (N M V largest most : R).
Definition away i x : R := o_out i x - o_in i x.
Definition opened_output i x : R := o_in i x + eps i * away i x.
Hypothesis N_pos : 0 < N.
Hypothesis M_nonneg : 0 <= M.
Hypothesis smooth : loss o_in - loss opened_output <=
  sum (fun i => - dot coords (g i) (fun x => eps i * away i x)
                + M / 2 * dot coords (fun x => eps i * away i x) (fun x => eps i * away i x)) rows.
Hypothesis leakages : forall i, In i rows -> 0 <= eps i <= most.
Hypothesis values : forall i, In i rows -> norm coords (away i) <= V.
Hypothesis penalties : forall i, In i rows -> - (N * dot coords (g i) (away i)) <= largest.

Theorem gate_curvature :
  loss o_in - loss opened_output <= Bound.gate_curvature V M (sum eps rows / N) N largest most.
Proof.
  apply Rle_trans with (1 := smooth). unfold Bound.gate_curvature.
  replace (sum eps rows / N * (M * N * V ^ 2 * most / 2 + largest))
    with (sum (fun i => (largest / N + M * V ^ 2 * most / 2) * eps i) rows) by (rewrite sum_scal; field; lra).
  apply sum_le. intros i Hi. destruct (leakages i Hi) as [E0 E1]. rewrite !dot_scal_r, dot_scal_l.
  assert (P := penalties i Hi). assert (W := values i Hi). assert (Nn := norm_nonneg coords (away i)).
  rewrite <- norm_sq. set (w := norm coords (away i)) in *. set (p := dot coords (g i) (away i)) in *.
  assert (Q : - p <= largest / N).
  { apply (Rmult_le_reg_l N); auto. replace (N * (largest / N)) with largest by (field; lra). lra. }
  assert (Sq : w * w <= V ^ 2) by (simpl; rewrite Rmult_1_r; apply Rmult_le_compat; auto).
  assert (A : eps i * (w * w) <= most * V ^ 2) by (apply Rmult_le_compat; auto; apply Rmult_le_pos; auto).
  assert (B : M / 2 * (eps i * (w * w)) <= M / 2 * (most * V ^ 2)) by (apply Rmult_le_compat_l; lra).
  replace (- (eps i * p) + M / 2 * (eps i * (eps i * (w * w)))) with ((- p + M / 2 * (eps i * (w * w))) * eps i) by ring.
  apply Rmult_le_compat_r; auto. lra.
Qed.
End Bent.

(* One gate, J = s - s^2/2: a slope of 1 at the mask, curvature -1. *)
Example gate_basin_instance : Bound.gate_basin 1 1 (norm [tt] single) <= (1 - 1 / 2) - 0.
Proof.
  assert (H := gate_basin [tt] (fun s => s tt - s tt * s tt / 2) (fun _ => 1) single (fun t => 1 - t) (fun _ => -1) 1 1).
  unfold ray, single in H. replace (1 - 1 / 2 - 0) with (1 * 1 - 1 * 1 * (1 * 1) / 2 - (0 * 1 - 0 * 1 * (0 * 1) / 2)) by field.
  apply H; try (intros; lra).
  - split; intros t; auto_derive; auto; field.
  - simpl. ring.
  - intros t _. rewrite norm_one, Rabs_R1. lra.
Qed.

(* One row, its loss - o - o^2/2 of what it says, half of 1. *)
Example gate_curvature_instance : (1 / 2 + 1 / 8) <= Bound.gate_curvature 1 1 (1 / 2) 1 1 (1 / 2).
Proof.
  assert (H := gate_curvature [tt] [tt] (fun o => - o tt tt - o tt tt * o tt tt / 2) (fun _ _ => -1) zeros ones
    (fun _ => 1 / 2) 1 1 1 1 (1 / 2)).
  unfold opened_output, away, dot, zeros, ones in H. simpl in H.
  replace ((1 / 2 + 0) / 1) with (1 / 2) in H by field.
  apply Rle_trans with (2 := H ltac:(lra) ltac:(lra) ltac:(lra) ltac:(intros; lra)
    ltac:(intros; rewrite (norm_ext _ _ (fun _ => 1)) by (intros; ring); rewrite norm_one; right; apply Rabs_R1)
    ltac:(intros; lra)). lra.
Qed.
