(* Which penalties keep gates shut (claims C3, C10): stationarity on the box, critical penalty, level A, steps to zero.
   Mirrors bounds/gates/theorems/stationarity.py. J = L + lambda Omega, Omega the sum over layers of the mean leakage of
   their rows; gates lie in [0, 1]. *)

Require Import Reals Lra Psatz List Bool Lia FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Flocq Require Import Core.Raux.
From Localist Require Import ClosedForms Sums Vectors Gates.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

(* A projected step, and what is left of the slope of J where it changes little. *)
Definition clip (x : R) : R := Rmax 0 (Rmin 1 x).
Definition step (eta s d : R) : R := clip (s - eta * d).
Definition residual (eta s d : R) : R := Rabs (s - step eta s d) / eta.
Definition violation (s d : R) : R :=
  if Req_EM_T s 0 then Rmax 0 (- d) else if Req_EM_T s 1 then Rmax 0 d else Rabs d.

Lemma clip_box x : 0 <= clip x <= 1.
Proof. unfold clip, Rmax, Rmin. repeat destruct Rle_dec; lra. Qed.

Theorem gate_stationarity eta s d r : 0 < eta -> 0 <= s <= 1 -> residual eta s d <= r -> eta * r < 1 ->
  s = 0 \/ s = 1 \/ eta * r < Rmin s (1 - s) -> violation s d <= Bound.gate_stationarity r.
Proof.
  intros E B H O K. unfold Bound.gate_stationarity, residual in *.
  assert (H' : Rabs (s - step eta s d) <= eta * r).
  { apply (Rmult_le_compat_l eta) in H; [|lra]. replace (eta * (Rabs (s - step eta s d) / eta))
      with (Rabs (s - step eta s d)) in H by (field; lra). exact H. }
  clear H. set (y := eta * d) in *. assert (Y : forall a, eta * (d - a) = y - eta * a) by (intros; unfold y; ring).
  assert (U : y <= eta * r -> d <= r) by (intros; apply (Rmult_le_reg_l eta); auto).
  assert (L : - (eta * r) <= y -> - d <= r).
  { intros Q. apply (Rmult_le_reg_l eta); auto. unfold y in Q. lra. }
  assert (P : 0 <= r). { apply (Rmult_le_reg_l eta); auto. rewrite Rmult_0_r. apply Rle_trans with (2 := H'), Rabs_pos. }
  clear Y. unfold step, clip in H'. fold y in H'. unfold violation.
  assert (Q : - (eta * r) <= s - Rmax 0 (Rmin 1 (s - y)) <= eta * r) by (apply Rabs_le_inv, H').
  destruct (Req_EM_T s 0) as [->|N0].
  - apply Rmax_lub; auto. apply L. unfold Rmax, Rmin in Q. repeat destruct Rle_dec; lra.
  - destruct (Req_EM_T s 1) as [->|N1].
    + apply Rmax_lub; auto. apply U. unfold Rmax, Rmin in Q. repeat destruct Rle_dec; lra.
    + destruct K as [K|[K|K]]; try lra. assert (Z : - (eta * r) <= y <= eta * r).
      { unfold Rmax, Rmin in *. repeat destruct Rle_dec; lra. }
      apply Rabs_le. split; [|apply U; lra]. assert (- d <= r) by (apply L; lra). lra.
Qed.

(* --- the critical penalty --- *)
Section Critical.
Context {G : Type}.
Variables (groups : list G) (dl dw : G -> R) (lambda : R).
Hypothesis leaks : forall c, In c groups -> 0 < dw c.
Definition slope (c : G) : R := dl c + lambda * dw c.

Lemma above_ratio c : 0 < dw c -> - dl c / dw c < lambda -> 0 < slope c.
Proof.
  intros P H. apply (Rmult_lt_compat_r (dw c)) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra.
  unfold slope. lra.
Qed.

Lemma below_ratio c : 0 < dw c -> lambda < - dl c / dw c -> slope c < 0.
Proof.
  intros P H. apply (Rmult_lt_compat_r (dw c)) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra.
  unfold slope. lra.
Qed.

Theorem gates_stay eta : 0 < eta -> (forall c, In c groups -> - dl c / dw c < lambda) ->
  forall c, In c groups -> step eta 0 (slope c) = Bound.gates_stay.
Proof.
  intros E H c Hc. assert (P := above_ratio c (leaks c Hc) (H c Hc)). unfold step, clip, Bound.gates_stay.
  assert (0 < eta * slope c) by (apply Rmult_lt_0_compat; auto). unfold Rmax, Rmin. repeat destruct Rle_dec; lra.
Qed.

(* J differentiable at the mask, from within the box. *)
Definition differentiable_at_mask (J : (G -> R) -> R) : Prop :=
  forall e, 0 < e -> exists delta, 0 < delta /\ forall s, (forall c, In c groups -> 0 <= s c <= delta) ->
  Rabs (J s - J shut - sum (fun c => slope c * s c) groups) <= e * sum s groups.

Theorem gates_stay_local J : differentiable_at_mask J -> (forall c, In c groups -> - dl c / dw c < lambda) ->
  exists delta, 0 < delta /\ forall s, (forall c, In c groups -> 0 <= s c <= delta) -> 0 < sum s groups -> J shut < J s.
Proof.
  intros D H. destruct groups as [|c0 l] eqn:El.
  - exists 1. split; [lra|]. intros s _ S. simpl in S. lra.
  - rewrite <- El in *. destruct (least slope groups) as [c [Hc Lc]]; [rewrite El; discriminate|].
    assert (P := above_ratio c (leaks c Hc) (H c Hc)).
    destruct (D (slope c / 2) ltac:(lra)) as [delta [Dp Dd]]. exists delta. split; auto. intros s B S.
    specialize (Dd s B). apply Rabs_le_inv in Dd.
    assert (slope c * sum s groups <= sum (fun c => slope c * s c) groups).
    { rewrite <- sum_scal. apply sum_le. intros k Hk. apply Rmult_le_compat_r; [apply B, Hk|apply Lc, Hk]. }
    assert (0 < slope c * sum s groups) by (apply Rmult_lt_0_compat; auto). lra.
Qed.

Definition is_open (x : R) : bool := if Rlt_dec 0 x then true else false.

Theorem gates_open eta : 0 < eta -> (exists c, In c groups /\ lambda < - dl c / dw c) ->
  Bound.gates_open <= count (fun c => is_open (step eta 0 (slope c))) groups.
Proof.
  intros E [c [Hc H]]. assert (N := below_ratio c (leaks c Hc) H). unfold Bound.gates_open.
  assert (P : 0 < count (fun c => is_open (step eta 0 (slope c))) groups).
  { apply count_pos. exists c. split; auto. unfold is_open, step, clip. assert (0 < eta * - slope c) by (apply Rmult_lt_0_compat; lra).
    destruct (Rlt_dec _ _) as [|F]; auto. exfalso. apply F. unfold Rmax, Rmin. repeat destruct Rle_dec; lra. }
  unfold count in *. change 1 with (INR 1). apply le_INR. apply INR_lt. simpl INR. exact P.
Qed.

(* The mask is then no local minimum. *)
Theorem gates_open_descends same (J : (G -> R) -> R) c :
  (forall c, In c groups -> is_derive (fun t => J (moved same shut c t)) 0 (slope c)) -> In c groups ->
  lambda < - dl c / dw c -> forall delta, 0 < delta -> exists t, 0 < t < delta /\ J (moved same shut c t) < J shut.
Proof.
  intros D Hc H delta Dp. assert (N := below_ratio c (leaks c Hc) H).
  assert (Dc := D c Hc). apply is_derive_Reals in Dc. destruct (Dc (- slope c) ltac:(lra)) as [r Hr].
  set (t := Rmin (r / 2) (delta / 2)). assert (Rp := cond_pos r).
  assert (T : 0 < t /\ t < r /\ t < delta) by (unfold t, Rmin; destruct Rle_dec; lra).
  exists t. split; [lra|]. specialize (Hr t ltac:(lra) ltac:(rewrite Rabs_right; lra)).
  rewrite Rplus_0_l in Hr. apply Rabs_def2 in Hr. destruct Hr as [Hr _].
  assert (E0 : moved same shut c 0 = shut) by apply (moved_nowhere same shut c). rewrite E0 in Hr.
  assert (Q : (J (moved same shut c t) - J shut) / t < 0) by lra.
  apply (Rmult_lt_compat_r t) in Q; [|lra]. unfold Rdiv in Q. rewrite Rmult_assoc, Rinv_l in Q by lra. lra.
Qed.
End Critical.

(* --- one layer whose gates open, deeper ones being shut: the leakage of the others does not move --- *)
Section Layer.
Context {I G C : Type}.
Variables (rows : list I) (groups : list G) (coords : list C).
Variables (w_in : I -> R) (w : I -> G -> R) (o_in : I -> C -> R) (o_of : I -> G -> C -> R).
Variables (loss : (I -> C -> R) -> R) (g : I -> C -> R) (N lambda rest : R) (s : G -> R).
Variable same : forall c c' : G, {c = c'} + {c <> c'}.
Hypothesis once : NoDup groups.
Hypothesis inside : forall i, In i rows -> 0 < w_in i.
Hypothesis weights : forall i c, In i rows -> In c groups -> 0 <= w i c.
Hypothesis box : forall c, In c groups -> 0 <= s c.
Hypothesis N_pos : 0 < N.
Hypothesis slopes : gradient_at rows coords loss (output groups w_in w o_in o_of s) g.
Local Notation out := (output groups w_in w o_in o_of s).
Local Notation eps := (leaked groups w_in w s).
Local Notation Z := (total groups w_in w s).
Local Notation taken := (share groups w_in w s).

Definition omega (u : G -> R) : R := sum (leaked groups w_in w u) rows / N + rest.
Definition penalised (u : G -> R) : R := loss (output groups w_in w o_in o_of u) + lambda * omega u.
(* What the open groups of a row say, each by its gate and weight. *)
Definition o_out i x : R := sum (fun c => s c * w i c * o_of i c x) groups / sum (fun c => s c * w i c) groups.
Definition apart i x : R := o_out i x - o_in i x.
Definition split i : R := eps i * (1 - eps i).

Lemma opened_nonneg i : In i rows -> 0 <= sum (fun c => s c * w i c) groups.
Proof. intros Hi. apply sum_nonneg. intros c Hc. apply Rmult_le_pos; auto. Qed.
Lemma total_above i : In i rows -> 0 < Z i.
Proof. intros Hi. assert (H := opened_nonneg i Hi). assert (W := inside i Hi). unfold total. lra. Qed.
Lemma leaked_range i : In i rows -> 0 <= eps i < 1.
Proof.
  intros Hi. assert (H := opened_nonneg i Hi). assert (W := inside i Hi). assert (T := total_above i Hi). unfold leaked. split.
  - sign.
  - apply (Rmult_lt_reg_r (Z i)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. unfold total. lra.
Qed.
Lemma split_nonneg i : In i rows -> 0 <= split i.
Proof. intros Hi. assert (H := leaked_range i Hi). unfold split. apply Rmult_le_pos; lra. Qed.

Definition own_slope c : R :=
  price rows groups coords w_in w o_in o_of g s c + lambda * (sum (fun i => taken i c * (1 - eps i)) rows / N).

Lemma penalised_derive c : In c groups -> is_derive (fun t => penalised (moved same s c t)) (s c) (own_slope c).
Proof.
  intros Hc. unfold penalised, omega, own_slope.
  assert (T : forall i, In i rows -> Z i <> 0) by (intros i Hi; assert (H := total_above i Hi); lra).
  apply @is_derive_plus; [apply gate_price; auto|]. apply is_derive_scal. evar_last.
  - apply @is_derive_plus; [|apply (is_derive_const rest)].
    apply (is_derive_scal_l (fun t => sum (leaked groups w_in w (moved same s c t)) rows) (s c)
      (sum (fun i => taken i c * (1 - eps i)) rows) (/ N)).
    apply (PenaltyLevels.is_derive_sum (fun i t => leaked groups w_in w (moved same s c t) i) (fun i => taken i c * (1 - eps i))).
    intros i Hi. apply leaked_price; auto.
  - unfold plus, zero, scal. simpl. unfold mult. simpl. unfold Rdiv. ring.
Qed.

(* What a row's open groups would say beyond what it says, with their shares: eps (1 - eps) (o_out - o_in). *)
Lemma row_pull i x : In i rows ->
  sum (fun c => s c * (taken i c * (o_of i c x - out i x))) groups = split i * apart i x.
Proof.
  intros Hi. assert (T := total_above i Hi). assert (On := opened_nonneg i Hi).
  set (A := sum (fun c => s c * w i c) groups) in *. set (B := sum (fun c => s c * w i c * o_of i c x) groups).
  assert (Zi : Z i = w_in i + A) by reflexivity.
  rewrite (sum_ext _ (fun c => / Z i * (s c * w i c * o_of i c x) - out i x / Z i * (s c * w i c)))
    by (intros; unfold share, Rdiv; ring).
  rewrite sum_minus, !sum_scal. fold A B. unfold split, apart, o_out, leaked, output. fold A B.
  destruct On as [P|E]; [rewrite Zi in *; field; lra|]. rewrite <- E.
  assert (B0 : B = 0).
  { apply sum_all_zero. intros c Hc. assert (Q := sum_zero (fun c => s c * w i c) groups
      (fun c Hc => Rmult_le_pos _ _ (box c Hc) (weights i c Hi Hc)) (eq_sym E) c Hc). cbv beta in Q. rewrite Q. ring. }
  rewrite B0. unfold Rdiv. ring.
Qed.

Lemma row_share i : In i rows -> sum (fun c => s c * (taken i c * (1 - eps i))) groups = split i.
Proof.
  intros Hi. rewrite (sum_ext _ (fun c => (1 - eps i) / Z i * (s c * w i c))) by (intros; unfold share, Rdiv; ring).
  rewrite sum_scal. unfold split, leaked, Rdiv. ring.
Qed.

Lemma weighted_slopes : sum (fun c => s c * own_slope c) groups
  = sum (fun i => split i * (dot coords (g i) (apart i) + lambda / N)) rows.
Proof.
  unfold own_slope, price, Bound.gate_price.
  rewrite (sum_ext _ (fun c => sum (fun i => s c * (taken i c * dot coords (g i) (fun x => o_of i c x - out i x))
    + lambda / N * (s c * (taken i c * (1 - eps i)))) rows)).
  - rewrite sum_swap. apply sum_ext. intros i Hi. rewrite sum_plus, sum_scal, row_share by auto.
    rewrite (sum_ext _ (fun c => dot coords (g i) (fun x => s c * (taken i c * (o_of i c x - out i x)))))
      by (intros; rewrite !dot_scal_r; auto).
    rewrite <- (dot_sum_r coords (g i) (fun c x => s c * (taken i c * (o_of i c x - out i x))) groups).
    rewrite (dot_ext coords (g i) _ (g i) (fun x => split i * apart i x)) by (intros; auto using row_pull).
    rewrite dot_scal_r. ring.
  - intros c _. rewrite sum_plus, !sum_scal. unfold Rdiv. ring.
Qed.

Definition row_rate i : R := - (N * dot coords (g i) (apart i)).

Section Stationary.
Variables (dj : G -> R) (r : R).
Hypothesis derivatives : forall c, In c groups -> is_derive (fun t => penalised (moved same s c t)) (s c) (dj c).
Hypothesis stationary : forall c, In c groups -> 0 < s c -> dj c <= r.

Lemma weighted_check : lambda * sum split rows
  <= sum (fun i => Bound.gate_self_check (split i) (row_rate i)) rows + r * N * sum s groups.
Proof.
  assert (H : sum (fun c => s c * own_slope c) groups <= r * sum s groups).
  { rewrite <- sum_scal. apply sum_le. intros c Hc. destruct (box c Hc) as [P|E]; [|rewrite <- E; lra].
    assert (U := is_derive_unique _ _ _ (derivatives c Hc)). rewrite (is_derive_unique _ _ _ (penalised_derive c Hc)) in U.
    rewrite U, (Rmult_comm (s c)). apply Rmult_le_compat_r; auto. }
  rewrite weighted_slopes in H. unfold Bound.gate_self_check, row_rate.
  rewrite (sum_ext (fun i => split i * - _) (fun i => - N * (split i * dot coords (g i) (apart i)))) by (intros; ring).
  rewrite sum_scal. rewrite (sum_ext _ (fun i => split i * dot coords (g i) (apart i) + lambda / N * split i)) in H
    by (intros; ring).
  rewrite sum_plus, sum_scal in H. apply (Rmult_le_compat_l N) in H; [|lra].
  rewrite Rmult_plus_distr_l in H. replace (N * (lambda / N * sum split rows)) with (lambda * sum split rows) in H
    by (field; lra). lra.
Qed.

Theorem gate_self_check : 0 < sum split rows -> lambda <=
  (sum (fun i => Bound.gate_self_check (split i) (row_rate i)) rows + r * N * sum s groups) / sum split rows.
Proof.
  intros P. apply (Rmult_le_reg_r (sum split rows)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  apply weighted_check.
Qed.
End Stationary.

(* Groups and block lie no further apart than the values of the row do. *)
Lemma apart_norm i V : In i rows -> 0 < sum (fun c => s c * w i c) groups ->
  (forall c, In c groups -> norm coords (fun x => o_of i c x - o_in i x) <= V) -> norm coords (apart i) <= V.
Proof.
  intros Hi P H. set (A := sum (fun c => s c * w i c) groups) in *.
  rewrite (norm_ext coords _ (fun x => sum (fun c => s c * w i c / A * (o_of i c x - o_in i x)) groups)).
  - apply Rle_trans with (1 := norm_sum coords (fun c x => s c * w i c / A * (o_of i c x - o_in i x)) groups).
    apply Rle_trans with (sum (fun c => V / A * (s c * w i c)) groups).
    + apply sum_le. intros c Hc. assert (Q : 0 <= s c * w i c) by (apply Rmult_le_pos; auto).
      rewrite norm_scal, Rabs_right by (apply Rle_ge; sign).
      replace (V / A * (s c * w i c)) with (s c * w i c / A * V) by (unfold Rdiv; ring).
      apply Rmult_le_compat_l; auto. sign.
    + rewrite sum_scal. fold A. right. field. lra.
  - intros x _. unfold apart, o_out. fold A.
    rewrite (sum_ext (fun c => s c * w i c / A * _) (fun c => s c * w i c * o_of i c x / A - o_in i x / A * (s c * w i c)))
      by (intros; unfold Rdiv; ring).
    rewrite sum_minus, sum_div, sum_scal. fold A. field. lra.
Qed.

(* Above N ||g_i|| V_i for every row no group of a layer with weight is open. *)
Lemma layer_shut (dj : G -> R) (V : I -> R) :
  (forall c, In c groups -> is_derive (fun t => penalised (moved same s c t)) (s c) (dj c)) ->
  (forall c, In c groups -> 0 < s c -> dj c <= 0) ->
  (forall i c, In i rows -> In c groups -> norm coords (fun x => o_of i c x - o_in i x) <= V i) ->
  (forall i, In i rows -> Form.gate_level N (norm coords (g i)) (V i) < lambda) ->
  (forall c, In c groups -> exists i, In i rows /\ 0 < w i c) ->
  forall c, In c groups -> s c = 0.
Proof.
  intros D K Vb L Some. assert (H := weighted_check dj 0 D K).
  assert (Le : forall i, In i rows -> Bound.gate_self_check (split i) (row_rate i) <= lambda * split i
    /\ (0 < eps i -> Bound.gate_self_check (split i) (row_rate i) < lambda * split i)).
  { intros i Hi. unfold Bound.gate_self_check, row_rate. assert (R := leaked_range i Hi).
    assert (Sp : 0 < eps i -> 0 < split i) by (intros; unfold split; apply Rmult_lt_0_compat; lra).
    assert (Rate : 0 < eps i -> - (N * dot coords (g i) (apart i)) < lambda).
    { intros P. apply Rle_lt_trans with (2 := L i Hi). unfold Form.gate_level.
      assert (A : 0 < sum (fun c => s c * w i c) groups).
      { destruct (opened_nonneg i Hi) as [|E]; auto. exfalso. unfold leaked in P. rewrite <- E in P. unfold Rdiv in P. lra. }
      assert (B := apart_norm i (V i) Hi A (fun c => Vb i c Hi)). assert (Cs := cauchy_schwarz_abs coords (g i) (apart i)).
      apply Rabs_le_inv in Cs. assert (Gn := norm_nonneg coords (g i)).
      assert (norm coords (g i) * norm coords (apart i) <= norm coords (g i) * V i) by (apply Rmult_le_compat_l; auto).
      assert (N * - dot coords (g i) (apart i) <= N * (norm coords (g i) * V i)) by (apply Rmult_le_compat_l; lra). lra. }
    split.
    - destruct (proj1 R) as [P|E]; [rewrite Rmult_comm; apply Rmult_le_compat_r; [left; auto|left; auto]|].
      unfold split. rewrite <- E. lra.
    - intros P. rewrite Rmult_comm. apply Rmult_lt_compat_r; auto. }
  assert (Zero : forall i, In i rows -> eps i = 0).
  { assert (E0 : sum (fun i => lambda * split i - Bound.gate_self_check (split i) (row_rate i)) rows = 0).
    { apply Rle_antisym; [rewrite sum_minus, sum_scal; lra|]. apply sum_nonneg. intros i Hi. assert (Q := proj1 (Le i Hi)). lra. }
    intros i Hi. destruct (proj1 (leaked_range i Hi)) as [P|]; auto. exfalso.
    assert (Q := sum_zero _ rows (fun i Hi => Rge_le _ _ (Rge_minus _ _ (Rle_ge _ _ (proj1 (Le i Hi))))) E0 i Hi).
    cbv beta in Q. assert (Q' := proj2 (Le i Hi) P). lra. }
  intros c Hc. destruct (Some c Hc) as [i [Hi W]]. assert (E := Zero i Hi). unfold leaked in E.
  assert (T := total_above i Hi). assert (A0 : sum (fun c => s c * w i c) groups = 0).
  { apply (Rmult_eq_reg_r (/ Z i)); [|apply Rgt_not_eq, Rinv_0_lt_compat, T]. rewrite Rmult_0_l. exact E. }
  assert (Q := sum_zero (fun c => s c * w i c) groups (fun c Hc => Rmult_le_pos _ _ (box c Hc) (weights i c Hi Hc)) A0 c Hc).
  cbv beta in Q. apply Rmult_integral in Q. destruct Q; [auto|lra].
Qed.
End Layer.

(* --- many layers, each of which sees what the ones before it left; no gate in two of them --- *)
Section Network.
Context {X I G C : Type}.
Variables (depth : nat) (rows : nat -> list I) (groups : nat -> list G) (coords : list C) (N : nat -> R).
Variables (w_in : nat -> X -> I -> R) (w : nat -> X -> I -> G -> R).
Variables (o_in : nat -> X -> I -> C -> R) (o_of : nat -> X -> I -> G -> C -> R).
Variables (start : X) (next : nat -> X -> (I -> C -> R) -> X) (final : X -> R) (lambda : R).
Variable same : forall c c' : G, {c = c'} + {c <> c'}.

Definition layer_output l x (u : G -> R) : I -> C -> R := output (groups l) (w_in l x) (w l x) (o_in l x) (o_of l x) u.
Definition layer_leakage l x (u : G -> R) : R := sum (leaked (groups l) (w_in l x) (w l x) u) (rows l) / N l.
(* From a state before layer l through n layers. *)
Fixpoint run (s : nat -> G -> R) (x : X) (l n : nat) : X :=
  match n with O => x | S n => next (l + n) (run s x l n) (layer_output (l + n) (run s x l n) (s (l + n)%nat)) end.
Definition state s l : X := run s start 0 l.
Definition all_loss s : R := final (state s depth).
Definition all_leakage s : R := sum (fun l => layer_leakage l (state s l) (s l)) (seq 0 depth).
Definition J s : R := all_loss s + lambda * all_leakage s.
Definition at_layer (s : nat -> G -> R) l (u : G -> R) : nat -> G -> R := fun k => if Nat.eq_dec k l then u else s k.
(* What follows layer l, as a function of its outputs. *)
Definition downstream s l (o : I -> C -> R) : R := final (run s (next l (state s l) o) (S l) (depth - S l)).

Lemma run_ext s s' x l n : (forall k, (l <= k < l + n)%nat -> s k = s' k) -> run s x l n = run s' x l n.
Proof.
  induction n as [|n IH]; intros H; simpl; auto. rewrite IH by (intros; apply H; lia). rewrite (H (l + n)%nat) by lia. auto.
Qed.

Lemma run_plus s x l n k : run s x l (n + k) = run s (run s x l n) (l + n) k.
Proof.
  induction k as [|k IH]; simpl; [rewrite Nat.add_0_r; auto|]. rewrite Nat.add_succ_r. simpl. rewrite IH, Nat.add_assoc. auto.
Qed.

Lemma state_before s l u k : (k <= l)%nat -> state (at_layer s l u) k = state s k.
Proof. intros H. apply run_ext. intros j Hj. unfold at_layer. destruct (Nat.eq_dec j l); [lia|auto]. Qed.

Lemma state_after s l u n : state (at_layer s l u) (S l + n) = run s (next l (state s l) (layer_output l (state s l) u)) (S l) n.
Proof.
  unfold state at 1. rewrite run_plus. change (0 + S l)%nat with (S l). replace (run (at_layer s l u) start 0 (S l))
    with (next l (state s l) (layer_output l (state s l) u)).
  - apply run_ext. intros k Hk. unfold at_layer. destruct (Nat.eq_dec k l); [lia|auto].
  - simpl. fold (state (at_layer s l u) l). rewrite state_before by lia. unfold at_layer.
    destruct (Nat.eq_dec l l); [auto|congruence].
Qed.

Lemma at_layer_nowhere s l : at_layer s l (s l) = s.
Proof. apply functional_extensionality. intros k. unfold at_layer. destruct (Nat.eq_dec k l) as [->|]; auto. Qed.

Lemma no_leakage l x u : (forall c, In c (groups l) -> u c = 0) -> layer_leakage l x u = 0.
Proof.
  intros H. unfold layer_leakage. rewrite sum_all_zero; [unfold Rdiv; ring|]. intros i _. unfold leaked.
  rewrite sum_all_zero; [unfold Rdiv; ring|]. intros c Hc. rewrite H by auto. ring.
Qed.

(* With deeper layers shut J is that of one layer: its downstream loss, its own leakage, and what shallower ones leak. *)
Lemma one_layer s l u : (l < depth)%nat -> (forall k c, (l < k < depth)%nat -> In c (groups k) -> s k c = 0) ->
  J (at_layer s l u) = penalised (rows l) (groups l) (w_in l (state s l)) (w l (state s l)) (o_in l (state s l))
    (o_of l (state s l)) (downstream s l) (N l) lambda
    (sum (fun k => layer_leakage k (state s k) (s k)) (seq 0 l)) u.
Proof.
  intros L Z. unfold J, penalised. f_equal.
  - unfold all_loss, downstream. replace depth with (S l + (depth - S l))%nat at 1 by lia. rewrite state_after. auto.
  - f_equal. unfold all_leakage, omega. replace depth with (l + (1 + (depth - S l)))%nat by lia.
    rewrite !seq_app, !sum_app. simpl seq. cbn [Sums.sum].
    rewrite (sum_all_zero _ (seq (l + 1) (depth - S l))).
    + rewrite (sum_ext _ (fun k => layer_leakage k (state s k) (s k)) (seq 0 l)).
      * rewrite state_before by lia. unfold at_layer at 1. destruct (Nat.eq_dec l l); [|congruence].
        unfold layer_leakage at 2. ring.
      * intros k Hk. apply in_seq in Hk. rewrite state_before by lia. unfold at_layer at 1.
        destruct (Nat.eq_dec k l); [lia|auto].
    + intros k Hk. apply in_seq in Hk. apply no_leakage. intros c Hc. unfold at_layer. destruct (Nat.eq_dec k l); [lia|].
      apply Z; [lia|auto].
Qed.

Variables (s : nat -> G -> R) (g : nat -> I -> C -> R) (V : nat -> I -> R) (dj : nat -> G -> R).
Hypothesis once : forall l, NoDup (groups l).
Hypothesis inside : forall l i, (l < depth)%nat -> In i (rows l) -> 0 < w_in l (state s l) i.
Hypothesis weights : forall l i c, (l < depth)%nat -> In i (rows l) -> In c (groups l) -> 0 <= w l (state s l) i c.
Hypothesis has_pairs : forall l c, (l < depth)%nat -> In c (groups l) -> exists i, In i (rows l) /\ 0 < w l (state s l) i c.
Hypothesis N_pos : forall l, (l < depth)%nat -> 0 < N l.
Hypothesis box : forall l c, (l < depth)%nat -> In c (groups l) -> 0 <= s l c.
Hypothesis slopes : forall l, (l < depth)%nat ->
  gradient_at (rows l) coords (downstream s l) (layer_output l (state s l) (s l)) (g l).
Hypothesis values : forall l i c, (l < depth)%nat -> In i (rows l) -> In c (groups l) ->
  norm coords (fun x => o_of l (state s l) i c x - o_in l (state s l) i x) <= V l i.
(* Stationary: a gate that is not 0 has no slope into the box. *)
Hypothesis derivatives : forall l c, (l < depth)%nat -> In c (groups l) ->
  is_derive (fun t => J (at_layer s l (moved same (s l) c t))) (s l c) (dj l c).
Hypothesis stationary : forall l c, (l < depth)%nat -> In c (groups l) -> 0 < s l c -> dj l c <= 0.
Hypothesis above : forall l i, (l < depth)%nat -> In i (rows l) ->
  Form.gate_level (N l) (norm coords (g l i)) (V l i) < lambda.

Theorem gate_level_a l c : (l < depth)%nat -> In c (groups l) -> s l c = Bound.gate_level_a.
Proof.
  unfold Bound.gate_level_a.
  assert (Q : forall n l c, (depth - n <= l < depth)%nat -> In c (groups l) -> s l c = 0).
  { induction n as [|n IH]; [intros; lia|]. intros k c' Hk Hc.
    destruct (le_lt_dec (depth - n) k) as [D|D]; [apply IH; auto; lia|].
    assert (Z : forall j c, (k < j < depth)%nat -> In c (groups j) -> s j c = 0) by (intros; apply IH; auto; lia).
    apply (layer_shut (rows k) (groups k) coords (w_in k (state s k)) (w k (state s k)) (o_in k (state s k))
      (o_of k (state s k)) (downstream s k) (g k) (N k) lambda
      (sum (fun k => layer_leakage k (state s k) (s k)) (seq 0 k)) (s k) same) with (dj := dj k) (V := V k); auto;
      try (intros; solve [apply inside; auto; lia | apply weights; auto; lia | apply box; auto; lia | apply values; auto; lia
        | apply above; auto; lia | apply has_pairs; auto; lia | apply stationary; auto; lia]).
    - apply N_pos. lia.
    - apply slopes. lia.
    - intros e He. apply is_derive_ext with (fun t => J (at_layer s k (moved same (s k) e t))).
      + intros t. apply one_layer; [lia|exact Z].
      + apply derivatives; auto. lia. }
  intros L Hc. apply (Q depth); auto. lia.
Qed.
End Network.

(* False of a gate shared by two layers: without any loss, at every penalty, it may stay open. What the first layer
   leaks lowers the odds outside in the second, so that opening the gate lowers the leakage of both. *)
Theorem refuted_gates_shared_over_layers : exists odds : R -> R, (forall e, 0 < odds e) /\
  let first := fun s => leaked [tt] single ones (fun _ => s) tt in
  let second := fun s => leaked [tt] single (fun _ _ => odds (first s)) (fun _ => s) tt in
  forall lambda, 0 < lambda -> exists dj, dj < 0 /\ is_derive (fun s => 0 + lambda * (first s + second s)) 1 dj.
Proof.
  exists (fun e => exp (8 - 16 * e)). split; [intros; apply exp_pos|]. intros first second lambda P.
  exists (lambda * - (1 / 2)). split; [nra|].
  assert (D1 : is_derive first 1 (1 / 4)).
  { unfold first, leaked, total, single, ones. simpl. auto_derive; [lra|field]. }
  assert (E1 : first 1 = 1 / 2) by (unfold first, leaked, total, single, ones; simpl; field).
  assert (D2 : is_derive (fun s => s * exp (8 - 16 * first s)) 1 (-3)).
  { evar_last.
    - apply @is_derive_mult; [apply (is_derive_id 1)|apply (is_derive_comp exp (fun s => 8 - 16 * first s));
        [apply is_derive_exp|apply @is_derive_minus; [apply (is_derive_const 8 1)|apply is_derive_scal, D1]]|].
      intros. apply Rmult_comm.
    - unfold plus, minus, scal, mult, opp, zero, one. simpl. unfold plus, opp, mult. simpl.
      rewrite E1. replace (8 - 16 * (1 / 2)) with 0 by field. rewrite exp_0. field. }
  assert (D3 : is_derive second 1 (- (3 / 4))).
  { apply is_derive_ext with (fun s => s * exp (8 - 16 * first s) / (1 + s * exp (8 - 16 * first s))).
    { intros s. unfold second, leaked, total, single. simpl. rewrite !Rplus_0_r. reflexivity. }
    assert (V1 : 1 * exp (8 - 16 * first 1) = 1).
    { rewrite E1. replace (8 - 16 * (1 / 2)) with 0 by field. rewrite exp_0. ring. }
    evar_last.
    - apply @is_derive_div; [apply D2|apply @is_derive_plus; [apply (is_derive_const 1 1)|apply D2]|]. unfold plus. simpl. rewrite V1. lra.
    - unfold plus, zero. simpl. rewrite V1. field. }
  evar_last.
  - apply @is_derive_plus; [apply (is_derive_const 0 1)|]. apply is_derive_scal. apply @is_derive_plus; [apply D1|apply D3].
  - unfold plus, zero. simpl. field.
Qed.

(* Nor does every gate have a threshold of its own: one opens to dilute what another does to its row. The first gate
   is rewarded in the first row and does harm in the second, where the second gate says no more than the block does. *)
Definition sees (i c : bool) : R := if c then 1 else if i then 0 else 1.
Definition says (i c : bool) (_ : unit) : R := if c then 1 else 0.
Definition traded (o : bool -> unit -> R) : R := -2 * o true tt + o false tt.
Definition trade (i : bool) (_ : unit) : R := if i then -2 else 1.

Theorem refuted_a_threshold_for_each_gate : exists s dj : bool -> R,
  (forall i, In i [true; false] ->
    pair_penalty [tt] (fun _ _ => 0) says 2 trade i false < 1) /\ 0 < s false /\
  (forall c, In c [true; false] -> s c = 1 /\ dj c <= 0 /\
    is_derive (fun t => penalised [true; false] [true; false] (fun _ => 1) sees (fun _ _ => 0) says traded 2 1 0
      (moved bool_dec s c t)) (s c) (dj c)).
Proof.
  set (s := fun _ : bool => 1).
  assert (Nd : NoDup [true; false]).
  { repeat constructor; simpl; intuition discriminate. }
  exists s, (own_slope [true; false] [true; false] [tt] (fun _ => 1) sees (fun _ _ => 0) says trade 2 1 s).
  split; [|split; [|intros c _; split; [|split]]].
  - intros i _. unfold pair_penalty, says, dot. simpl. lra.
  - unfold s. lra.
  - auto.
  - unfold own_slope, price, Bound.gate_price, share, leaked, output, total, dot, sees, says, trade, s. simpl.
    destruct c; lra.
  - apply penalised_derive; auto; unfold s; try (intros; lra); try (destruct c; simpl; auto; fail).
    + intros i c' _ _. unfold sees. destruct c', i; lra.
    + intros curve t d _ D. unfold traded. evar_last.
      * apply @is_derive_plus; [apply is_derive_scal|]; apply D; simpl; auto.
      * unfold plus, dot, trade. simpl. ring.
Qed.

(* --- exact zeros after finitely many steps --- *)
Section Steps.
Variables (s d : nat -> R) (eta gamma : R).
Hypothesis eta_pos : 0 < eta.
Hypothesis gamma_pos : 0 < gamma.
Hypothesis box : 0 <= s 0%nat.
Hypothesis steep : forall t, 0 < s t -> gamma <= d t.
Hypothesis rests : forall t, s t = 0 -> 0 <= d t.
Hypothesis steps : forall t, s (S t) = step eta (s t) (d t).

Lemma steps_taken t : 0 <= s t <= Rmax 0 (s 0%nat - INR t * (eta * gamma)).
Proof.
  assert (P : 0 < eta * gamma) by (apply Rmult_lt_0_compat; auto). induction t as [|t IH].
  - simpl INR. rewrite Rmult_0_l, Rminus_0_r. split; [auto|apply Rmax_r].
  - rewrite steps, S_INR. split; [apply clip_box|]. destruct IH as [Z U]. destruct Z as [Z|Z].
    + assert (D := steep t Z). assert (eta * gamma <= eta * d t) by (apply Rmult_le_compat_l; lra).
      unfold step, clip, Rmax, Rmin in *. repeat destruct Rle_dec; lra.
    + assert (D := rests t (eq_sym Z)). assert (0 <= eta * d t) by (apply Rmult_le_pos; lra).
      rewrite <- Z. unfold step, clip. apply Rle_trans with 0; [|apply Rmax_l]. unfold Rmax, Rmin. repeat destruct Rle_dec; lra.
Qed.

Theorem gate_steps_to_zero t : Bound.gate_steps_to_zero eta (s 0%nat) gamma <= INR t -> s t = 0.
Proof.
  intros H. assert (P : 0 < eta * gamma) by (apply Rmult_lt_0_compat; auto). unfold Bound.gate_steps_to_zero in H.
  assert (C := Zceil_ub (s 0%nat / (eta * gamma))). assert (Q : s 0%nat / (eta * gamma) <= INR t) by lra.
  apply (Rmult_le_compat_r (eta * gamma)) in Q; [|lra]. unfold Rdiv in Q. rewrite Rmult_assoc, Rinv_l in Q by lra.
  assert (T := steps_taken t). rewrite Rmax_left in T by lra. lra.
Qed.
End Steps.

(* No fewer steps will do: a slope of gamma throughout. *)
Theorem gate_steps_to_zero_attained eta gamma start t : 0 < eta -> 0 < gamma -> 0 < start <= 1 ->
  INR t < start / (eta * gamma) ->
  exists s : nat -> R, s 0%nat = start /\ (forall k, s (S k) = step eta (s k) gamma) /\ 0 < s t.
Proof.
  intros E Gp B H. assert (P : 0 < eta * gamma) by (apply Rmult_lt_0_compat; auto).
  exists (fix s k := match k with O => start | S k => step eta (s k) gamma end).
  set (s := fix s k := match k with O => start | S k => step eta (s k) gamma end).
  split; [auto|]. split; [auto|]. apply (Rmult_lt_compat_r (eta * gamma)) in H; auto.
  unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra.
  assert (W : forall k, (k <= t)%nat -> s k = start - INR k * (eta * gamma)).
  { induction k as [|k IH]; intros K; [simpl; ring|]. change (s (S k)) with (step eta (s k) gamma).
    rewrite IH by lia. assert (Kt : INR (S k) <= INR t) by (apply le_INR; auto). rewrite S_INR in *.
    assert (INR (S k) * (eta * gamma) <= INR t * (eta * gamma)) by (apply Rmult_le_compat_r; [lra|apply le_INR; auto]).
    rewrite S_INR in *. assert (0 <= INR k * (eta * gamma)) by (apply Rmult_le_pos; [apply pos_INR|lra]).
    unfold step, clip, Rmax, Rmin. repeat destruct Rle_dec; lra. }
  rewrite W by auto. lra.
Qed.

(* Instances: one row, one gate, odds of 1, a loss that falls by what the row says. *)
Example gate_stationarity_instance : violation 0 1 <= Bound.gate_stationarity 0.
Proof.
  apply (gate_stationarity (1 / 2)); try (left; reflexivity); try lra. unfold residual, step, clip.
  replace (Rmax 0 (Rmin 1 (0 - 1 / 2 * 1))) with 0; [rewrite Rminus_0_r, Rabs_R0; lra|].
  unfold Rmax, Rmin. repeat destruct Rle_dec; lra.
Qed.

Example gates_stay_instance : step 1 0 (slope (fun _ : unit => -1) (fun _ => 1) 2 tt) = Bound.gates_stay.
Proof. apply (gates_stay [tt]); try (intros; lra). simpl. auto. Qed.

Example gates_open_instance :
  Bound.gates_open <= count (fun c => is_open (step 1 0 (slope (fun _ : unit => -1) (fun _ => 1) (1 / 2) c))) [tt].
Proof. apply (gates_open [tt]); try (intros; lra). exists tt. split; [simpl; auto|lra]. Qed.

Example gate_self_check_instance : 1 <= (Bound.gate_self_check (1 / 4) 1 + 0) / (1 / 4).
Proof.
  assert (Sp : split [tt] single ones single tt = 1 / 4).
  { unfold split, leaked, total, single, ones. simpl. field. }
  assert (Rr : row_rate [tt] [tt] ones zeros (fun _ => ones) (fun _ _ => -1) 1 single tt = 1).
  { unfold row_rate, apart, o_out, dot, single, ones, zeros. simpl. field. }
  assert (O : own_slope [tt] [tt] [tt] single ones zeros (fun _ => ones) (fun _ _ => -1) 1 1 single tt = 0).
  { unfold own_slope, price, Bound.gate_price, share, leaked, output, total, dot, single, ones, zeros. simpl. field. }
  assert (Nd : NoDup [tt]) by (repeat constructor; simpl; tauto).
  assert (H := gate_self_check [tt] [tt] [tt] single ones zeros (fun _ => ones) (said (-1)) (fun _ _ => -1) 1 1 0 single
    unit_same Nd).
  simpl in H. rewrite Sp, Rr, !Rplus_0_r in H. replace (1 / 4) with (1 / 4 + 0) at 2 by ring.
  replace (Bound.gate_self_check (1 / 4) 1 + 0) with (Bound.gate_self_check (1 / 4) 1 + 0 * 1 * single tt) by (unfold single; ring).
  rewrite Rplus_0_r. apply H with (dj := fun _ => 0); try (intros; unfold single, ones; lra).
  - apply said_gradient.
  - intros [] _. rewrite <- O. apply penalised_derive; simpl; auto; try (intros; unfold single, ones; lra). apply said_gradient.
Qed.

Example gate_level_a_instance : (fun (_ : nat) (_ : unit) => 0) 0%nat tt = Bound.gate_level_a.
Proof.
  apply (gate_level_a 1 (fun _ => [tt]) (fun _ => [tt]) [tt] (fun _ => 1) (fun _ _ => single) (fun _ _ => ones)
    (fun _ _ => zeros) (fun _ _ _ => ones) zeros (fun _ _ o => o) (said (-1)) 2 unit_same (fun _ _ => 0)
    (fun _ _ _ => -1) (fun _ _ => 1) (fun _ _ => 1)) with (l := 0%nat) (c := tt); try (intros; unfold single, ones; lra); try (simpl; auto; fail).
  - intros _. repeat constructor. simpl. tauto.
  - intros l c _ _. exists tt. unfold ones. simpl. split; [auto|lra].
  - intros l L. destruct l as [|l]; [|lia]. apply said_gradient.
  - intros l i c _ _ _. right. rewrite (norm_ext _ _ (fun _ => 1)) by (intros; unfold ones, zeros; ring).
    rewrite norm_one. apply Rabs_R1.
  - intros l c L _. destruct l as [|l]; [|lia]. destruct c.
    apply is_derive_ext with (fun t => - (t / (1 + t)) + 2 * (t / (1 + t))).
    + intros t. unfold J, all_loss, all_leakage, layer_leakage, state. simpl.
      unfold layer_output, said, leaked, output, total, at_layer, moved, unit_same, single, ones, zeros. simpl.
      unfold Rdiv. rewrite !Rplus_0_r, !Rmult_1_r, ?Rmult_0_r, ?Rplus_0_l, ?Rinv_1. ring.
    + auto_derive; [lra|field].
  - intros l i _ _. unfold Form.gate_level. rewrite norm_one, Rabs_left; lra.
Qed.

Example gate_steps_to_zero_instance : exists s : nat -> R, s 0%nat = 1 /\
  (forall k, s (S k) = step 1 (s k) (1 / 2)) /\ 0 < s 1%nat /\ s 2%nat = 0.
Proof.
  destruct (gate_steps_to_zero_attained 1 (1 / 2) 1 1) as (s & S0 & St & P); try lra; [simpl; lra|].
  exists s. split; [auto|]. split; [auto|]. split; [auto|].
  apply (gate_steps_to_zero s (fun _ => 1 / 2) 1 (1 / 2)); auto; try (intros; lra).
  rewrite S0. unfold Bound.gate_steps_to_zero. replace (1 / (1 * (1 / 2))) with (IZR 2) by (simpl; field).
  rewrite Zceil_IZR. simpl. lra.
Qed.
