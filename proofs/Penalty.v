(* Penalty thresholds in training (claims C3, C10): loss + sum of lambda ||W_bc||, the norm not squared.
   Mirrors bounds/penalty/theorems.

   Everything rests on the proximal map of t||.||: it shortens a vector by t, or makes it zero, so that z - prox z has
   norm t unless the result is zero, and at most t always. *)

Require Import Reals Lra Psatz List Lia FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Flocq Require Import Core.Raux.
From Localist Require Import ClosedForms Sums Vectors Attention.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

Section Prox.
Context {A : Type} (I : list A).
Implicit Types (z w g : A -> R).

Definition prox (t : R) z : A -> R := fun i => Rmax 0 (1 - t / norm I z) * z i.

Lemma prox_short t z : norm I z <= t -> forall i, In i I -> prox t z i = 0.
Proof.
  intros H i Hi. unfold prox. destruct (norm_nonneg I z) as [N|N].
  - rewrite Rmax_left; [ring|]. assert (1 <= t / norm I z); [|lra].
    apply (Rmult_le_reg_r (norm I z)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
  - rewrite (proj1 (norm_zero I z) (eq_sym N) i Hi). ring.
Qed.

Lemma prox_long t z : 0 <= t < norm I z -> forall i, z i - prox t z i = t / norm I z * z i.
Proof.
  intros H i. unfold prox. rewrite Rmax_right; [ring|].
  assert (t / norm I z <= 1); [|lra]. apply (Rmult_le_reg_r (norm I z)); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma prox_cut_long t z : 0 <= t < norm I z -> norm I (fun i => z i - prox t z i) = t.
Proof.
  intros H. rewrite (norm_ext I _ (fun i => t / norm I z * z i)) by (intros; apply prox_long, H).
  rewrite norm_scal, Rabs_right; [field; lra|]. apply Rle_ge. sign.
Qed.

Lemma prox_cut t z : 0 <= t -> norm I (fun i => z i - prox t z i) <= t.
Proof.
  intros T. destruct (Rle_lt_dec (norm I z) t) as [H|H].
  - rewrite (norm_ext I _ z); auto. intros i Hi. rewrite (prox_short t z H i Hi). ring.
  - right. apply prox_cut_long. auto.
Qed.

Lemma prox_norm t z : 0 <= t -> norm I (prox t z) = Rmax 0 (norm I z - t).
Proof.
  intros T. destruct (Rle_lt_dec (norm I z) t) as [H|H].
  - rewrite Rmax_left by lra. apply norm_zero. intros i Hi. apply prox_short; auto.
  - rewrite Rmax_right by lra. unfold prox. rewrite norm_scal, Rabs_right by (apply Rle_ge, Rmax_l).
    rewrite Rmax_right; [field; lra|]. assert (t / norm I z <= 1); [|lra].
    apply (Rmult_le_reg_r (norm I z)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(* It is the proximal map: no v has a smaller ||v - z||^2 / 2 + t ||v||. *)
Theorem kkt_zero_prox_minimises t z v : 0 <= t ->
  / 2 * dot I (fun i => prox t z i - z i) (fun i => prox t z i - z i) + t * norm I (prox t z)
    <= / 2 * dot I (fun i => v i - z i) (fun i => v i - z i) + t * norm I v.
Proof.
  intros T. assert (C := cauchy_schwarz I v z). assert (N := norm_nonneg I v). assert (Nz := norm_nonneg I z).
  rewrite (dot_sq_minus I v z), <- !norm_sq, prox_norm by auto.
  rewrite (norm_ext I (fun i => prox t z i - z i) (fun i => - (z i - prox t z i))), norm_opp by (intros; ring).
  destruct (Rle_lt_dec (norm I z) t) as [H|H].
  - rewrite Rmax_left by lra. rewrite (norm_ext I _ z).
    + assert (norm I v * norm I z <= norm I v * t) by (apply Rmult_le_compat_l; auto). nra.
    + intros i Hi. rewrite (prox_short t z H i Hi). ring.
  - rewrite Rmax_right, prox_cut_long by lra. assert (Q := pow2_ge_0 (norm I v - norm I z + t)). nra.
Qed.

(* The proximal residual R = (W - prox(W - eta g)) / eta. *)
Definition residual (eta lambda : R) w g : A -> R :=
  fun i => (w i - prox (eta * lambda) (fun i => w i - eta * g i) i) / eta.

Section Stationarity.
Variables (eta lambda : R) (w g : A -> R).
Hypothesis eta_pos : 0 < eta.
Hypothesis lambda_nonneg : 0 <= lambda.
Local Notation z := (fun i => w i - eta * g i).
Local Notation Rs := (residual eta lambda w g).

(* eta g = eta R - (z - prox z). *)
Lemma gradient_is i : g i = Rs i - / eta * (z i - prox (eta * lambda) z i).
Proof. unfold residual. field. lra. Qed.

Theorem kkt_zero : norm I g <= Bound.kkt_zero lambda (norm I Rs).
Proof.
  unfold Bound.kkt_zero. rewrite (norm_ext I g _ (fun i _ => gradient_is i)).
  apply Rle_trans with (1 := triangle_minus I _ _). apply Rplus_le_compat_l.
  rewrite norm_scal, Rabs_right by (apply Rle_ge; left; sign).
  assert (P := prox_cut (eta * lambda) z ltac:(sign)).
  apply (Rmult_le_reg_l eta); auto. rewrite <- Rmult_assoc, Rinv_r by lra. lra.
Qed.

Theorem kkt_active : eta * norm I Rs < norm I w -> Rabs (norm I g - Bound.kkt_active lambda) <= norm I Rs.
Proof.
  intros H. unfold Bound.kkt_active.
  assert (L : eta * lambda < norm I z).
  { destruct (Rle_lt_dec (norm I z) (eta * lambda)) as [S|]; auto. exfalso.
    assert (E : norm I w = eta * norm I Rs); [|lra].
    rewrite <- (Rabs_right eta) at 1 by lra. rewrite <- norm_scal. apply norm_ext. intros i Hi.
    unfold residual. rewrite (prox_short _ _ S i Hi). field. lra. }
  assert (P := prox_cut_long (eta * lambda) z ltac:(split; [sign|auto])).
  assert (Q : norm I (fun i => / eta * (z i - prox (eta * lambda) z i)) = lambda).
  { rewrite norm_scal, P, Rabs_right by (apply Rle_ge; left; sign). field. lra. }
  set (b := fun i => / eta * (z i - prox (eta * lambda) z i)) in *.
  assert (T := triangle_reverse I g (fun i => -1 * b i)).
  rewrite norm_scal, (Rabs_left (-1)) in T by lra.
  rewrite (norm_ext I (fun i => g i - -1 * b i) Rs) in T by (intros i _; rewrite gradient_is; unfold b; ring).
  replace (norm I g - - (-1) * norm I b) with (norm I g - norm I b) in T by ring. rewrite Q in T. exact T.
Qed.

(* A bound on the gradient below lambda - ||R|| leaves no group longer than eta ||R||: none at all where R = 0. *)
Theorem worst_case_threshold level : norm I g <= level -> level + norm I Rs < lambda -> norm I w <= eta * norm I Rs.
Proof.
  intros G L. destruct (Rle_lt_dec (norm I w) (eta * norm I Rs)) as [|H]; auto. exfalso.
  assert (K := kkt_active H). unfold Bound.kkt_active in K.
  assert (K' := Rle_abs (- (norm I g - lambda))). rewrite Rabs_Ropp in K'. lra.
Qed.

Theorem worst_case_threshold_exact level : norm I g <= level -> level < lambda -> is_zero I Rs ->
  norm I w = Bound.worst_case_threshold.
Proof.
  intros G L Z. unfold Bound.worst_case_threshold. apply norm_zero in Z.
  assert (H := worst_case_threshold level G ltac:(lra)). rewrite Z in H. assert (N := norm_nonneg I w). lra.
Qed.
End Stationarity.

(* Finite identification: each step shortens the group by eta (lambda - g) at least. *)
Section Steps.
Variables (w g : nat -> A -> R) (eta lambda G : R).
Hypothesis eta_pos : 0 < eta.
Hypothesis below : G < lambda.
Hypothesis bounded : forall t, norm I (g t) <= G.
Hypothesis step : forall t, w (S t) = prox (eta * lambda) (fun i => w t i - eta * g t i).

Lemma bound_nonneg : 0 <= G.
Proof. apply Rle_trans with (2 := bounded 0). apply norm_nonneg. Qed.

Lemma one_step t : norm I (w (S t)) <= Rmax 0 (norm I (w t) - eta * (lambda - G)).
Proof.
  assert (G0 := bound_nonneg). rewrite step, prox_norm by (apply Rmult_le_pos; lra). apply Rle_max_compat_l.
  assert (T := triangle_minus I (w t) (fun i => eta * g t i)). rewrite norm_scal, Rabs_right in T by lra.
  assert (B := bounded t). nra.
Qed.

Lemma many_steps t : norm I (w t) <= Rmax 0 (norm I (w 0%nat) - INR t * (eta * (lambda - G))).
Proof.
  assert (P : 0 < eta * (lambda - G)) by (apply Rmult_lt_0_compat; lra). induction t as [|t IH].
  - simpl INR. rewrite Rmult_0_l, Rminus_0_r. apply Rmax_r.
  - apply Rle_trans with (1 := one_step t). rewrite S_INR. unfold Rmax in *. repeat destruct Rle_dec; lra.
Qed.

Theorem steps_to_zero t : Bound.steps_to_zero lambda G eta (norm I (w 0%nat)) <= INR t -> is_zero I (w t).
Proof.
  intros H. assert (P : 0 < eta * (lambda - G)) by (apply Rmult_lt_0_compat; lra).
  apply norm_zero, Rle_antisym; [|apply norm_nonneg]. apply Rle_trans with (1 := many_steps t).
  apply Rmax_lub; [lra|]. unfold Bound.steps_to_zero in H.
  assert (C := Zceil_ub (norm I (w 0%nat) / (eta * (lambda - G)))).
  assert (Q : norm I (w 0%nat) / (eta * (lambda - G)) <= INR t) by lra.
  apply (Rmult_le_compat_r (eta * (lambda - G))) in Q; [|lra].
  unfold Rdiv in Q. rewrite Rmult_assoc, Rinv_l in Q by lra. lra.
Qed.
End Steps.

(* With a momentum buffer v <- mu v + g from zero, ||v|| <= g/(1-mu). *)
Theorem heavy_ball_steps (w g v : nat -> A -> R) eta lambda G mu t : 0 < eta -> 0 <= mu < 1 -> G / (1 - mu) < lambda ->
  (forall t, norm I (g t) <= G) -> (forall i, v 0%nat i = 0) -> (forall t i, v (S t) i = mu * v t i + g t i) ->
  (forall t, w (S t) = prox (eta * lambda) (fun i => w t i - eta * v (S t) i)) ->
  Bound.heavy_ball_steps lambda G eta (norm I (w 0%nat)) mu <= INR t -> is_zero I (w t).
Proof.
  intros E M L B V0 V St H.
  assert (Vb : forall t, norm I (v t) <= G / (1 - mu)).
  { assert (G0 : 0 <= G) by (apply Rle_trans with (2 := B 0%nat); apply norm_nonneg).
    assert (Q : mu * (G / (1 - mu)) + G = G / (1 - mu)) by (field; lra).
    induction t0 as [|k IH].
    - rewrite (norm_ext I _ (fun _ => 0)), norm_null by auto. apply Rmult_le_pos; [auto|left; sign].
    - rewrite (norm_ext I _ _ (fun i _ => V k i)). apply Rle_trans with (1 := triangle I _ _).
      rewrite norm_scal, Rabs_right by lra. specialize (B k). rewrite <- Q.
      apply Rplus_le_compat; auto. apply Rmult_le_compat_l; lra. }
  apply (steps_to_zero w (fun t => v (S t)) eta lambda (G / (1 - mu)) E L (fun t => Vb (S t)) St t H).
Qed.
End Prox.

(* The number of steps is attained in one dimension, by a gradient of full size that points outwards. *)
Theorem steps_to_zero_attained eta lambda G start t : 0 < eta -> 0 <= G < lambda -> 0 < start ->
  INR t < start / (eta * (lambda - G)) ->
  exists w : nat -> unit -> R, norm [tt] (w 0%nat) = start /\
  (forall k, w (S k) = prox [tt] (eta * lambda) (fun i => w k i - eta * - G)) /\ ~ is_zero [tt] (w t).
Proof.
  intros E GL St H. assert (P : 0 < eta * (lambda - G)) by (apply Rmult_lt_0_compat; lra).
  assert (N1 : forall x : unit -> R, norm [tt] x = Rabs (x tt)).
  { intros x. unfold norm, dot. simpl. rewrite Rplus_0_r. apply sqrt_Rsqr_abs. }
  exists (fix w k := match k with O => fun _ => start | S k => prox [tt] (eta * lambda) (fun i => w k i - eta * - G) end).
  set (w := fix w k := match k with O => fun _ => start | S k => prox [tt] (eta * lambda) (fun i => w k i - eta * - G) end).
  assert (W : forall k, (k <= t)%nat -> w k tt = start - INR k * (eta * (lambda - G))).
  { induction k as [|k IH]; intros K; [simpl; ring|].
    specialize (IH ltac:(lia)). assert (Kt : INR k <= INR t) by (apply le_INR; lia).
    assert (Pos : 0 < w k tt).
    { rewrite IH. assert (INR t * (eta * (lambda - G)) < start); [|nra].
      apply (Rmult_lt_compat_r (eta * (lambda - G))) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra. }
    assert (Pos' : 0 <= start - INR (S k) * (eta * (lambda - G))).
    { assert (Kt' : INR (S k) <= INR t) by (apply le_INR; lia).
      apply (Rmult_lt_compat_r (eta * (lambda - G))) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra.
      nra. }
    change (w (S k) tt) with (prox [tt] (eta * lambda) (fun i => w k i - eta * - G) tt). unfold prox.
    rewrite N1. set (z := w k tt - eta * - G). assert (Z : 0 < z) by (unfold z; nra).
    rewrite (Rabs_right z) by lra. rewrite S_INR in *. rewrite Rmax_right.
    - replace ((1 - eta * lambda / z) * z) with (z - eta * lambda) by (field; lra). unfold z. rewrite IH. ring.
    - apply (Rmult_le_reg_r z); auto. replace ((1 - eta * lambda / z) * z) with (z - eta * lambda) by (field; lra).
      unfold z. rewrite IH. nra. }
  split; [rewrite N1; apply Rabs_right; simpl; lra|]. split; [auto|].
  intros Z. specialize (Z tt (or_introl eq_refl)). rewrite W in Z by auto.
  apply (Rmult_lt_compat_r (eta * (lambda - G))) in H; auto. unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
Qed.

(* With Nesterov's momentum it is false: after the predicted number of steps, two, the group is not zero. One
   dimension, eta = 1; the gradients have size 3/20 and point inwards. *)
Definition soft (t z : R) : R := if Rle_dec (Rabs z) t then 0 else z - t * sign z.
Theorem refuted_with_nesterovs_momentum : exists (mu lambda G : R) (w : nat -> R), 0 < mu < 1 /\ 0 <= G < lambda /\
  w 1%nat = soft lambda (w 0%nat - G) /\ w 2%nat = soft lambda (w 1%nat + mu * (w 1%nat - w 0%nat) - G) /\
  Bound.steps_to_zero lambda G 1 (Rabs (w 0%nat)) <= 2 /\ w 2%nat <> 0.
Proof.
  exists (49 / 50), (13 / 20), (3 / 20), (fun t => match t with O => 1 | 1%nat => 1 / 5 | _ => - (21 / 250) end).
  split; [lra|]. split; [lra|]. unfold soft. split; [|split; [|split]].
  - destruct (Rle_dec _ _) as [H|_]; [rewrite Rabs_right in H; lra|]. rewrite sign_eq_1; lra.
  - destruct (Rle_dec _ _) as [H|_]; [rewrite Rabs_left in H; lra|]. rewrite sign_eq_m1; lra.
  - unfold Bound.steps_to_zero. rewrite Rabs_R1. replace (1 / (1 * (13 / 20 - 3 / 20))) with (IZR 2) by (simpl; field).
    rewrite Zceil_IZR. lra.
  - lra.
Qed.

(* Level D. In-block parameters p, cross groups c, one vector a group; the gradient of the loss in the cross groups. *)
Section Critical.
Context {P B C : Type}.
Variables (coords : list P) (groups : list B) (entries : list C).
Variables (loss : (P -> R) -> (B -> C -> R) -> R) (grad : (P -> R) -> (B -> C -> R) -> B -> C -> R).
Variables (best : P -> R) (lambda : B -> R).

Definition none : B -> C -> R := fun _ _ => 0.
Definition cross_size (c : B -> C -> R) : R := sum (fun b => norm entries (c b)) groups.
Definition penalised (p : P -> R) (c : B -> C -> R) : R :=
  loss p c + sum (fun b => lambda b * norm entries (c b)) groups.
Definition near (delta : R) (p : P -> R) (c : B -> C -> R) : Prop :=
  norm coords (fun i => p i - best i) < delta /\ cross_size c < delta.
(* Along a ray in the cross groups the loss has the slope that the gradient gives. *)
Definition slopes : Prop := forall p c t,
  is_derive (fun t => loss p (fun b e => t * c b e)) t
    (sum (fun b => dot entries (grad p (fun b e => t * c b e) b) (c b)) groups).

Lemma cross_size_scaled t c : 0 <= t -> cross_size (fun b e => t * c b e) = t * cross_size c.
Proof.
  intros T. unfold cross_size. rewrite <- sum_scal. apply sum_ext. intros b _. rewrite norm_scal, Rabs_right; lra.
Qed.
Lemma loss_at_zero p c : loss p (fun b e => 0 * c b e) = loss p none.
Proof. f_equal. apply functional_extensionality. intros b. apply functional_extensionality. intros e. unfold none. ring. Qed.
Lemma loss_at_one p c : loss p (fun b e => 1 * c b e) = loss p c.
Proof. f_equal. apply functional_extensionality. intros b. apply functional_extensionality. intros e. ring. Qed.
Lemma cross_size_nonneg c : 0 <= cross_size c.
Proof. apply sum_nonneg. intros. apply norm_nonneg. Qed.

(* Mean value along the ray. *)
Lemma mean_value p c : slopes -> exists t, 0 <= t <= 1 /\
  loss p c - loss p none = sum (fun b => dot entries (grad p (fun b e => t * c b e) b) (c b)) groups.
Proof.
  intros S. destruct (MVT_gen (fun t => loss p (fun b e => t * c b e)) 0 1
    (fun t => sum (fun b => dot entries (grad p (fun b e => t * c b e) b) (c b)) groups)) as [t [T E]].
  - intros; apply S.
  - intros x _. apply continuity_pt_filterlim, (ex_derive_continuous (fun t => loss p (fun b e => t * c b e))).
    eexists. apply S.
  - rewrite Rmin_left, Rmax_right in T by lra. exists t. split; auto. rewrite loss_at_one, loss_at_zero in E. lra.
Qed.

(* Above: near the localised point every cross gradient stays below lambda, and it is a local minimum, strictly so in
   the cross groups. *)
Theorem critical_stays : slopes ->
  (exists delta, 0 < delta /\ forall p, near delta p none -> loss best none <= loss p none) ->
  (exists delta, 0 < delta /\ forall p c b, near delta p c -> In b groups -> norm entries (grad p c b) < lambda b) ->
  exists delta, 0 < delta /\ forall p c, near delta p c -> penalised best none <= penalised p c /\
    (0 < cross_size c -> penalised p none < penalised p c).
Proof.
  intros S [d1 [D1 M1]] [d2 [D2 M2]]. exists (Rmin d1 d2). split; [apply Rmin_glb_lt; auto|]. intros p c [Np Nc].
  assert (L1 := Rmin_l d1 d2). assert (L2 := Rmin_r d1 d2).
  assert (Pn : forall p, penalised p none = loss p none).
  { intros q. unfold penalised. rewrite sum_all_zero; [ring|]. intros b _. unfold none. rewrite norm_null. ring. }
  rewrite !Pn. destruct (mean_value p c S) as [t [T E]].
  assert (Nr : forall b, In b groups -> norm entries (grad p (fun b e => t * c b e) b) < lambda b).
  { intros b Hb. apply M2; auto. split; [lra|]. rewrite cross_size_scaled by lra. assert (Z := cross_size_nonneg c). nra. }
  assert (K : forall b, In b groups -> - (lambda b * norm entries (c b))
    <= dot entries (grad p (fun b e => t * c b e) b) (c b)).
  { intros b Hb. assert (A := cauchy_schwarz_abs entries (grad p (fun b e => t * c b e) b) (c b)).
    assert (A' := Rle_abs (- dot entries (grad p (fun b e => t * c b e) b) (c b))). rewrite Rabs_Ropp in A'.
    assert (N := norm_nonneg entries (c b)). specialize (Nr b Hb). nra. }
  assert (Q : - sum (fun b => lambda b * norm entries (c b)) groups <= loss p c - loss p none).
  { rewrite E, <- sum_opp. apply sum_le. exact K. }
  assert (L : loss best none <= loss p none).
  { apply M1. split; [lra|]. replace (cross_size none) with 0; [lra|]. symmetry. apply sum_all_zero.
    intros b _. unfold none. apply norm_null. }
  split; [unfold penalised; lra|]. intros Pos.
  assert (Q' : - sum (fun b => lambda b * norm entries (c b)) groups < loss p c - loss p none); [|unfold penalised; lra].
  rewrite E, <- sum_opp. apply Rminus_gt_0_lt. rewrite <- sum_minus. apply sum_pos.
  - intros b Hb. specialize (K b Hb). lra.
  - assert (X : exists b, In b groups /\ 0 < norm entries (c b)).
    { clear - Pos. unfold cross_size in Pos. induction groups as [|b l IH]; simpl in Pos; [lra|].
      destruct (norm_nonneg entries (c b)) as [N|N]; [exists b; simpl; auto|].
      destruct IH as [b' [Hb N']]; [lra|]. exists b'. simpl. auto. }
    destruct X as [b [Hb N]]. exists b. split; auto.
    assert (A := cauchy_schwarz_abs entries (grad p (fun b e => t * c b e) b) (c b)).
    assert (A' := Rle_abs (- dot entries (grad p (fun b e => t * c b e) b) (c b))). rewrite Rabs_Ropp in A'.
    specialize (Nr b Hb). nra.
Qed.

(* Below: arbitrarily near the localised point the penalised loss is smaller, and one proximal step leaves it. *)
Variable eq_dec : forall b b' : B, {b = b'} + {b <> b'}.
Definition only (b : B) (v : C -> R) : B -> C -> R := fun b' e => if eq_dec b' b then v e else 0.

Theorem critical_leaves b : slopes -> NoDup groups -> In b groups -> 0 <= lambda b ->
  lambda b < norm entries (grad best none b) ->
  (forall delta, 0 < delta -> exists c, near delta best c /\ penalised best c < penalised best none) /\
  (forall eta, 0 < eta ->
     ~ is_zero entries (prox entries (eta * lambda b) (fun e => none b e - eta * grad best none b e))).
Proof.
  intros S N Hb L0 L. set (g := grad best none b) in *.
  assert (Pn : penalised best none = loss best none).
  { unfold penalised. rewrite sum_all_zero; [ring|]. intros b' _. unfold none. rewrite norm_null. ring. }
  split.
  - intros delta D. set (v := fun e => - g e). set (c := only b v).
    assert (Cb : forall f : (C -> R) -> R, f (fun _ => 0) = 0 -> sum (fun b' => f (c b')) groups = f v).
    { intros f F. rewrite (sum_only eq_dec groups b (fun b' => f (c b'))); auto.
      - f_equal. apply functional_extensionality. intros e. unfold c, only. destruct (eq_dec b b); congruence.
      - intros b' Db. rewrite <- F. f_equal. apply functional_extensionality. intros e. unfold c, only.
        destruct (eq_dec b' b); congruence. }
    assert (Nv : norm entries v = norm entries g) by apply norm_opp.
    assert (H := S best c 0). apply is_derive_Reals in H.
    assert (Sl : sum (fun b' => dot entries (grad best (fun b e => 0 * c b e) b') (c b')) groups
      = - (norm entries g * norm entries g)).
    { replace (fun (b0 : B) (e : C) => 0 * c b0 e) with none.
      2: { apply functional_extensionality. intros b'. apply functional_extensionality. intros e. unfold none. ring. }
      rewrite (sum_only eq_dec groups b (fun b' => dot entries (grad best none b') (c b'))); auto.
      - fold g. rewrite norm_sq. transitivity (dot entries g v).
        + apply dot_ext; auto. intros e _. unfold c, only. destruct (eq_dec b b); congruence.
        + unfold v, dot. rewrite <- sum_opp. apply sum_ext. intros. ring.
      - intros b' Db. apply sum_all_zero. intros e _. unfold c, only. destruct (eq_dec b' b); [congruence|ring]. }
    rewrite Sl in H. set (gn := norm entries g) in *. assert (G0 : 0 < gn) by lra.
    destruct (H (gn * (gn - lambda b)) ltac:(nra)) as [de Hde].
    set (t := Rmin de (delta / gn) / 2).
    assert (Dg : 0 < delta / gn) by (apply Rdiv_lt_0_compat; auto).
    assert (T : 0 < t /\ t < de /\ t < delta / gn).
    { assert (Q := cond_pos de). assert (Q1 := Rmin_l de (delta / gn)). assert (Q2 := Rmin_r de (delta / gn)).
      assert (Q3 : 0 < Rmin de (delta / gn)) by (apply Rmin_glb_lt; auto). unfold t. lra. }
    exists (fun b' e => t * c b' e). split.
    + split.
      * rewrite (norm_ext coords _ (fun _ => 0)), norm_null by (intros; ring). auto.
      * rewrite cross_size_scaled by lra. unfold cross_size.
        rewrite (Cb (norm entries) (norm_null entries)), Nv. fold gn.
        apply Rlt_le_trans with (delta / gn * gn); [apply Rmult_lt_compat_r; lra|right; field; lra].
    + rewrite Pn. unfold penalised.
      rewrite (sum_only eq_dec groups b (fun b' => lambda b' * norm entries (fun e => t * c b' e))); auto.
      2: { intros b' Db. rewrite (norm_ext entries _ (fun _ => 0)), norm_null; [ring|].
           intros e _. unfold c, only. destruct (eq_dec b' b); [congruence|ring]. }
      rewrite (norm_ext entries _ (fun e => t * v e)).
      2: { intros e _. unfold c, only. destruct (eq_dec b b); congruence. }
      rewrite norm_scal, Nv, Rabs_right by lra. fold gn.
      specialize (Hde t ltac:(lra)). rewrite Rabs_right in Hde by lra. specialize (Hde (proj1 (proj2 T))).
      rewrite Rplus_0_l, loss_at_zero in Hde. apply Rabs_def2 in Hde. destruct Hde as [Hde _].
      set (F1 := loss best (fun b0 e => t * c b0 e)) in *. set (F0 := loss best none) in *.
      assert (Q : (F1 - F0) / t < - (gn * lambda b)) by nra.
      apply (Rmult_lt_compat_r t) in Q; [|lra]. unfold Rdiv in Q. rewrite Rmult_assoc, Rinv_l in Q by lra. lra.
  - intros eta E Z. apply norm_zero in Z. rewrite prox_norm in Z by sign.
    rewrite (norm_ext entries _ (fun e => - (eta * g e))), norm_opp, norm_scal, Rabs_right in Z
      by (try lra; intros; unfold none; fold g; ring).
    rewrite Rmax_right in Z by nra. nra.
Qed.
End Critical.

(* Instances, in one dimension. *)
Example kkt_zero_instance : norm [tt] (fun _ => 3 / 2) <=
  Bound.kkt_zero 1 (norm [tt] (residual [tt] (1 / 2) 1 (fun _ => 0) (fun _ => 3 / 2))).
Proof. apply kkt_zero; lra. Qed.

Lemma at_rest : is_zero [tt] (residual [tt] (1 / 2) 1 (fun _ => 1) (fun _ => -1)).
Proof.
  intros i Hi. unfold residual, prox. rewrite norm_one, Rabs_right by lra.
  replace (1 - 1 / 2 * 1 / (1 - 1 / 2 * -1)) with (2 / 3) by field. rewrite Rmax_right by lra. field.
Qed.

(* W = 1 and a gradient of -1: at rest, and the gradient has the norm of the penalty. *)
Example kkt_active_instance : 1 / 2 * norm [tt] (residual [tt] (1 / 2) 1 (fun _ => 1) (fun _ => -1)) < norm [tt] (fun _ => 1)
  /\ Rabs (norm [tt] (fun _ => -1) - Bound.kkt_active 1) <= norm [tt] (residual [tt] (1 / 2) 1 (fun _ => 1) (fun _ => -1)).
Proof.
  assert (Z := proj2 (norm_zero [tt] _) at_rest).
  assert (H : 1 / 2 * norm [tt] (residual [tt] (1 / 2) 1 (fun _ => 1) (fun _ => -1)) < norm [tt] (fun _ => 1)).
  { rewrite Z, norm_one, Rabs_R1. lra. }
  split; auto. apply kkt_active; auto; lra.
Qed.

Example worst_case_threshold_instance :
  norm [tt] (fun _ => 0) <= 1 / 2 * norm [tt] (residual [tt] (1 / 2) 1 (fun _ => 0) (fun _ => 1 / 2)).
Proof.
  assert (Z : is_zero [tt] (residual [tt] (1 / 2) 1 (fun _ => 0) (fun _ => 1 / 2))).
  { intros i Hi. unfold residual. rewrite (prox_short [tt] (1 / 2 * 1)); auto; [field|].
    rewrite norm_one, Rabs_left; lra. }
  apply (worst_case_threshold [tt] (1 / 2) 1 (fun _ => 0) (fun _ => 1 / 2) ltac:(lra) ltac:(lra) (1 / 2)).
  - rewrite norm_one, Rabs_right; lra.
  - rewrite (proj2 (norm_zero [tt] _) Z). lra.
Qed.

Lemma two_steps : Bound.steps_to_zero 1 (1 / 2) 1 1 = 2.
Proof.
  unfold Bound.steps_to_zero. replace (1 / (1 * (1 - 1 / 2))) with (IZR 2) by (simpl; field). rewrite Zceil_IZR. auto.
Qed.

Example steps_to_zero_instance : exists w : nat -> unit -> R, norm [tt] (w 0%nat) = 1 /\
  (forall t, w (S t) = prox [tt] (1 * 1) (fun i => w t i - 1 * - (1 / 2))) /\
  ~ is_zero [tt] (w 1%nat) /\ is_zero [tt] (w 2%nat).
Proof.
  destruct (steps_to_zero_attained 1 1 (1 / 2) 1 1) as (w & W0 & W & N); try lra; [simpl; lra|].
  exists w. repeat split; auto.
  apply (steps_to_zero [tt] w (fun _ _ => - (1 / 2)) 1 1 (1 / 2)); auto; try lra.
  - intros _. rewrite norm_one, Rabs_left; lra.
  - rewrite W0, two_steps. simpl. lra.
Qed.

Example heavy_ball_steps_instance : exists w v : nat -> unit -> R, norm [tt] (w 0%nat) = 1 /\
  (forall t i, v (S t) i = 1 / 2 * v t i + 1 / 4) /\ is_zero [tt] (w 2%nat).
Proof.
  set (v := fix v (t : nat) (i : unit) := match t with O => 0 | S t => 1 / 2 * v t i + 1 / 4 end).
  set (w := fix w t := match t with O => fun _ : unit => 1 | S t => prox [tt] (1 * 1) (fun i => w t i - 1 * v (S t) i) end).
  exists w, v. repeat split; [rewrite norm_one; apply Rabs_R1|].
  apply (heavy_ball_steps [tt] w (fun _ _ => 1 / 4) v 1 1 (1 / 4) (1 / 2)); auto; try lra.
  - intros _. rewrite norm_one, Rabs_right; lra.
  - replace (norm [tt] (w 0%nat)) with 1 by (simpl; rewrite norm_one, Rabs_R1; auto).
    unfold Bound.heavy_ball_steps. replace (1 / 4 / (1 - 1 / 2)) with (1 / 2) by field.
    assert (T := two_steps). unfold Bound.steps_to_zero in T. rewrite T. simpl. lra.
Qed.

(* One in-block parameter p and one cross weight c, loss p^2 + c/2: the critical penalty is 1/2. *)
Definition bowl (p : unit -> R) (c : unit -> unit -> R) : R := p tt * p tt + c tt tt / 2.
Definition bowl_grad (p : unit -> R) (c : unit -> unit -> R) (_ _ : unit) : R := 1 / 2.
Lemma bowl_slopes : slopes [tt] [tt] bowl bowl_grad.
Proof.
  intros p c t. unfold bowl, bowl_grad, dot. simpl. auto_derive; auto. field.
Qed.

Example critical_stays_instance : exists delta, 0 < delta /\
  forall p c, near [tt] [tt] [tt] (fun _ : unit => 0) delta p c ->
  penalised [tt] [tt] bowl (fun _ => 3 / 4) (fun _ => 0) (none (B := unit) (C := unit)) <= penalised [tt] [tt] bowl (fun _ => 3 / 4) p c.
Proof.
  destruct (critical_stays [tt] [tt] [tt] bowl bowl_grad (fun _ => 0) (fun _ => 3 / 4) bowl_slopes) as [d [D H]].
  - exists 1. split; [lra|]. intros p _. unfold bowl, none. assert (0 <= p tt * p tt) by nra. lra.
  - exists 1. split; [lra|]. intros p c b _ _. rewrite norm_one. unfold bowl_grad. rewrite Rabs_right; lra.
  - exists d. split; auto. intros p c N. apply H, N.
Qed.

Example critical_leaves_instance : forall delta, 0 < delta -> exists c,
  near [tt] [tt] [tt] (fun _ : unit => 0) delta (fun _ => 0) c /\
  penalised [tt] [tt] bowl (fun _ => 1 / 4) (fun _ => 0) c < penalised [tt] [tt] bowl (fun _ => 1 / 4) (fun _ => 0) none.
Proof.
  assert (U : forall b b' : unit, {b = b'} + {b <> b'}) by (intros [] []; left; auto).
  apply (critical_leaves [tt] [tt] [tt] bowl bowl_grad (fun _ => 0) (fun _ => 1 / 4) U tt bowl_slopes); try lra.
  - repeat constructor. simpl. tauto.
  - simpl. auto.
  - rewrite norm_one. unfold bowl_grad. rewrite Rabs_right; lra.
Qed.
