(* Kinds of attention (claim C11). Mirrors bounds/kinds/theorems. The visible keys are any list: all of them, those up
   to a position, a window, those of an encoder; the weights are any positive numbers. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Vectors Attention Concentration Entropy.
Import ListNotations.
Open Scope R_scope.

Theorem weights_leakage {A} (w : A -> R) (keys : list A) block anchor ratio : row keys block anchor ->
  (forall j, In j keys -> 0 < w j) -> 0 < ratio -> weight_margin w ratio keys block anchor ->
  leakage (attention w keys) block keys
    <= Bound.weights_leakage (size keys) (count block keys) (count anchor keys) ratio.
Proof.
  intros V P T H. destruct (row_counts _ _ _ V) as (Hr & M & N & _). unfold Bound.weights_leakage.
  replace (ratio * count anchor keys + size keys - count block keys)
    with ((size keys - count block keys) + count anchor keys * ratio) by ring.
  apply leakage_at_most with anchor; auto; [lra|sign|apply inside_outweighs; auto].
Qed.

Theorem weights_leakage_attained {A} (keys : list A) block ratio : row keys block block -> 0 < ratio ->
  let w := levels block block ratio ratio 1 in weight_margin w ratio keys block block /\
  leakage (attention w keys) block keys
    = Bound.weights_leakage (size keys) (count block keys) (count block keys) ratio.
Proof.
  intros V T w. split.
  - intros a o Ha Ho Aa Bo. unfold w, levels. rewrite Aa, Bo. lra.
  - destruct (row_counts _ _ _ V) as (Hr & M & N & _). rewrite (leakage_weights w). unfold w.
    rewrite (mass_outside_levels keys block block V (fun y => y)), (mass_block_levels keys block block V (fun y => y)).
    unfold Bound.weights_leakage. field. repeat split; nra.
Qed.

(* Kernelised attention with positive features: the inner product of features is a positive weight. *)
Theorem weights_leakage_features {A C} (I : list C) (query : C -> R) (feature : A -> C -> R) (keys : list A) block anchor
  ratio : row keys block anchor -> I <> [] -> (forall c, In c I -> 0 < query c) ->
  (forall j c, In j keys -> In c I -> 0 < feature j c) -> 0 < ratio ->
  weight_margin (fun j => dot I query (feature j)) ratio keys block anchor ->
  leakage (attention (fun j => dot I query (feature j)) keys) block keys
    <= Bound.weights_leakage (size keys) (count block keys) (count anchor keys) ratio.
Proof.
  intros V Ne Q F T H. apply weights_leakage; auto. intros j Hj. apply sum_pos.
  - intros c Hc. specialize (Q c Hc). specialize (F j c Hj Hc). nra.
  - destruct I as [|c I]; [congruence|]. exists c. split; [left; auto|].
    apply Rmult_lt_0_compat; [apply Q|apply F]; simpl; auto.
Qed.

Theorem kernel_ceiling {A} (w : A -> R) (keys : list A) block anchor ratio : row keys block anchor ->
  (forall j, In j keys -> 0 < w j) -> 0 < ratio -> weight_within w ratio keys ->
  fidelity (attention w keys) block keys <= Bound.kernel_ceiling (size keys) (count block keys) ratio.
Proof.
  intros V P T H. destruct (row_counts _ _ _ V) as (Hr & M & N & _ & O). unfold Bound.kernel_ceiling.
  apply fidelity_at_most with anchor; auto; [lra|sign|].
  rewrite <- O. unfold Rdiv. rewrite Rmult_assoc, <- mass_scal. apply mass_pairs. intros o b Ho Hb _ _.
  apply (Rmult_le_reg_l ratio); auto. rewrite <- Rmult_assoc, Rinv_r by lra. specialize (H b o Hb Ho). lra.
Qed.

Theorem kernel_ceiling_attained {A} (keys : list A) block ratio : row keys block block -> 1 <= ratio ->
  let w := levels block block ratio ratio 1 in weight_within w ratio keys /\
  fidelity (attention w keys) block keys = Bound.kernel_ceiling (size keys) (count block keys) ratio.
Proof.
  intros V T w. assert (P : forall j, In j keys -> 0 < w j).
  { intros j _. unfold w, levels. destruct (block j); lra. }
  split.
  - intros j k _ _. unfold w, levels. destruct (block j), (block k); nra.
  - destruct (row_counts _ _ _ V) as (Hr & M & N & _).
    rewrite (fidelity_leakage w keys P (row_nonempty keys block block V)), (leakage_weights w). unfold w.
    rewrite (mass_outside_levels keys block block V (fun y => y)), (mass_block_levels keys block block V (fun y => y)).
    unfold Bound.kernel_ceiling. field. repeat split; nra.
Qed.

(* With the kernel (1 + s)^3 one anchor at score d against one key at 0 leaks 1/(1 + (1+d)^3): no exponential rate. *)
Theorem refuted_exponential_rate_for_every_kernel : forall a C : R, 0 < a -> exists d, 0 < d /\
  C * exp (- (a * d)) < leakage (attention (fun j : nat => if first j then (1 + d) ^ 3 else (1 + 0) ^ 3) two) first two.
Proof.
  intros a C Ha. set (K := Rmax 0 C). set (d := 1 + 2304 * K / a ^ 4).
  assert (HK : 0 <= K) by apply Rmax_l. assert (A4 : 0 < a ^ 4) by sign.
  assert (Hd : 1 <= d) by (unfold d; assert (0 <= 2304 * K / a ^ 4) by sign; lra).
  exists d. split; [lra|].
  assert (L : leakage (attention (fun j : nat => if first j then (1 + d) ^ 3 else (1 + 0) ^ 3) two) first two
    = 1 / (1 + (1 + d) ^ 3)).
  { unfold leakage. rewrite attention_mass. unfold mass, two, first, outside. simpl. field. nra. }
  rewrite L. apply Rle_lt_trans with (K * exp (- (a * d))).
  { apply Rmult_le_compat_r; [left; apply exp_pos|apply Rmax_r]. }
  rewrite exp_Ropp. assert (E : (a * d / 4) ^ 4 <= exp (a * d)).
  { replace (a * d) with (a * d / 4 + a * d / 4 + (a * d / 4 + a * d / 4)) at 2 by field. rewrite !exp_plus.
    assert (X := exp_ineq1_le (a * d / 4)). assert (0 <= a * d / 4) by sign.
    set (e := exp (a * d / 4)) in *. set (y := a * d / 4) in *. assert (Y : 0 <= y <= e) by lra.
    replace (y ^ 4) with (y * y * (y * y)) by ring. assert (y * y <= e * e) by nra. nra. }
  assert (Ep := exp_pos (a * d)).
  assert (D3 : 1 + (1 + d) ^ 3 <= 9 * d ^ 3).
  { assert (1 <= d ^ 3) by (rewrite <- (pow1 3); apply pow_incr; lra).
    assert ((1 + d) ^ 3 <= (2 * d) ^ 3) by (apply pow_incr; lra).
    replace ((2 * d) ^ 3) with (8 * d ^ 3) in * by ring. lra. }
  assert (Q : K * (9 * d ^ 3) < (a * d / 4) ^ 4).
  { replace ((a * d / 4) ^ 4) with (a ^ 4 * d ^ 3 / 256 * d) by field.
    assert (G : forall y, y = 1 + 2304 * K / a ^ 4 -> a ^ 4 * d ^ 3 / 256 * y = a ^ 4 * d ^ 3 / 256 + K * (9 * d ^ 3)).
    { intros y ->. field. lra. }
    rewrite (G d eq_refl). assert (0 < a ^ 4 * d ^ 3 / 256) by sign. lra. }
  assert (0 < (1 + d) ^ 3) by sign.
  apply (Rmult_lt_reg_r (exp (a * d) * (1 + (1 + d) ^ 3))); [sign|].
  replace (K * / exp (a * d) * (exp (a * d) * (1 + (1 + d) ^ 3))) with (K * (1 + (1 + d) ^ 3)) by (field; lra).
  replace (1 / (1 + (1 + d) ^ 3) * (exp (a * d) * (1 + (1 + d) ^ 3))) with (exp (a * d)) by (field; lra).
  apply Rle_lt_trans with (K * (9 * d ^ 3)); [apply Rmult_le_compat_l; lra|lra].
Qed.

(* A window of four keys that begins at the third, weights of a polynomial kernel. *)
Definition window : list nat := seq 3 4.
Definition early (j : nat) : bool := Nat.ltb j 5.
Lemma window_row : row window early early.
Proof. split; auto; [exists 3%nat|exists 6%nat]; simpl; auto 10. Qed.

Example weights_leakage_instance :
  leakage (attention (fun j => if early j then 8 else 2) window) early window <= Bound.weights_leakage 4 2 2 4.
Proof.
  assert (H := weights_leakage (fun j => if early j then 8 else 2) window early early 4 window_row).
  unfold size, count in H. simpl in H. replace (1 + 1 + 1 + 1) with 4 in H by ring. replace (1 + 1) with 2 in H by ring.
  apply H; try lra.
  - intros j _. destruct (early j); lra.
  - intros a o _ _ Aa Bo. rewrite Aa, Bo. lra.
Qed.

Example kernel_ceiling_instance :
  fidelity (attention (fun j => if early j then 8 else 2) window) early window <= Bound.kernel_ceiling 4 2 4.
Proof.
  assert (H := kernel_ceiling (fun j => if early j then 8 else 2) window early early 4 window_row).
  unfold size, count in H. simpl in H. replace (1 + 1 + 1 + 1) with 4 in H by ring. replace (1 + 1) with 2 in H by ring.
  apply H; try lra.
  - intros j _. destruct (early j); lra.
  - intros j k _ _. destruct (early j), (early k); lra.
Qed.
