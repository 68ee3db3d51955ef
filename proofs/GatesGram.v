(* What gates cost to second order (claim C6): KL from the model as trained is flat there, and bends by the variance of
   the logits' slopes, however the logits bend. Mirrors bounds/gates/theorems/gram.py. *)

Require Import Reals Lra Psatz List FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Attention.
From Localist Require PenaltyLevels.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.

Section Classes.
Context {K : Type}.
Variables (classes : list K).
Implicit Types (p u z : K -> R).

Definition expected p u : R := sum (fun k => p k * u k) classes.
Definition variance p u : R := sum (fun k => Bound.gate_gram (p k) (u k) (expected p u)) classes.
Definition covariance p u v : R := sum (fun k => p k * ((u k - expected p u) * (v k - expected p v))) classes.

(* KL(p || softmax z). *)
Definition divergence p z : R := sum (fun k => p k * (ln (p k) - ln (softmax z 1 classes k))) classes.

Lemma variance_moments p u : sum p classes = 1 ->
  variance p u = expected p (fun k => u k * u k) - expected p u * expected p u.
Proof.
  intros T. unfold variance, Bound.gate_gram. set (m := expected p u).
  rewrite (sum_ext _ (fun k => p k * (u k * u k) - 2 * m * (p k * u k) + m * m * p k)) by (intros; ring).
  rewrite sum_plus, sum_minus, !sum_scal, T. unfold m, expected. ring.
Qed.

Lemma variance_nonneg p u : (forall k, In k classes -> 0 <= p k) -> 0 <= variance p u.
Proof.
  intros P. apply sum_nonneg. intros k Hk. unfold Bound.gate_gram. apply Rmult_le_pos; auto. apply pow2_ge_0.
Qed.

(* Z, the sum of exponentials. *)
Definition partition z : R := sum (fun k => exp (z k)) classes.
Hypothesis some : classes <> [].

Lemma partition_positive z : 0 < partition z.
Proof.
  apply sum_pos; [intros; apply Rlt_le, exp_pos|]. destruct classes as [|k l]; [easy|].
  exists k. split; [simpl; auto|apply exp_pos].
Qed.

Lemma softmax_partition z k : softmax z 1 classes k = exp (z k) / partition z.
Proof.
  assert (E : forall x, exp (x / 1) = exp x) by (intros; f_equal; field).
  unfold softmax, attention, partition. rewrite E. f_equal. apply sum_ext. intros. apply E.
Qed.

Lemma softmax_one z : sum (softmax z 1 classes) classes = 1.
Proof.
  rewrite (sum_ext _ (fun k => exp (z k) / partition z)) by (intros; apply softmax_partition).
  rewrite sum_div. apply Rinv_r, Rgt_not_eq, partition_positive.
Qed.

Lemma softmax_positive z k : 0 < softmax z 1 classes k.
Proof. rewrite softmax_partition. apply Rdiv_lt_0_compat; [apply exp_pos|apply partition_positive]. Qed.

Lemma divergence_partition p z : sum p classes = 1 ->
  divergence p z = expected p (fun k => ln (p k)) - expected p z + ln (partition z).
Proof.
  intros T. unfold divergence.
  rewrite (sum_ext _ (fun k => p k * ln (p k) - p k * z k + ln (partition z) * p k)).
  - rewrite sum_plus, sum_minus, sum_scal, T. unfold expected. ring.
  - intros k _. rewrite softmax_partition. unfold Rdiv. rewrite ln_mult, ln_Rinv, ln_exp.
    + ring.
    + apply partition_positive.
    + apply exp_pos.
    + apply Rinv_0_lt_compat, partition_positive.
Qed.

(* One token: its logits along a line of gates, their slopes, and how they bend at the model as trained. *)
Section Token.
Variables (z slope : R -> K -> R) (bend : K -> R).
Hypothesis smooth : forall t k, is_derive (fun t => z t k) t (slope t k).
Hypothesis bent : forall k, is_derive (fun t => slope t k) 0 (bend k).
Local Notation p := (softmax (z 0) 1 classes).

(* Its slope along the line: what the logits do under softmax z(t), less under p. *)
Definition token_slope t : R := expected (softmax (z t) 1 classes) (slope t) - expected p (slope t).

Lemma partition_slope t : is_derive (fun t => partition (z t)) t (sum (fun k => exp (z t k) * slope t k) classes).
Proof.
  apply (PenaltyLevels.is_derive_sum (fun k t => exp (z t k)) (fun k => exp (z t k) * slope t k)). intros k _.
  evar_last; [apply (is_derive_comp exp (fun t => z t k)); [apply is_derive_exp|apply smooth]|].
  unfold scal; simpl; unfold mult; simpl; ring.
Qed.

Lemma expected_derive (q : K -> R) (f : R -> K -> R) (df : K -> R) t :
  (forall k, is_derive (fun t => f t k) t (df k)) -> is_derive (fun t => expected q (f t)) t (expected q df).
Proof.
  intros D. apply (PenaltyLevels.is_derive_sum (fun k t => q k * f t k) (fun k => q k * df k)). intros k _.
  apply (is_derive_scal (fun t => f t k)), D.
Qed.

Lemma softmax_expected t u : expected (softmax (z t) 1 classes) u = sum (fun k => exp (z t k) * u k) classes / partition (z t).
Proof.
  unfold expected. rewrite <- sum_div. apply sum_ext. intros. rewrite softmax_partition. unfold Rdiv. ring.
Qed.

Lemma token_flat t : is_derive (fun t => divergence p (z t)) t (token_slope t).
Proof.
  apply (is_derive_ext (fun t => expected p (fun k => ln (p k)) - expected p (z t) + ln (partition (z t)))).
  { intros. symmetry. apply divergence_partition, softmax_one. }
  evar_last.
  - apply @is_derive_plus; [apply @is_derive_minus; [apply is_derive_const|apply expected_derive; intros; apply smooth]|].
    apply (is_derive_comp ln (fun t => partition (z t))); [apply is_derive_ln, partition_positive|apply partition_slope].
  - unfold token_slope. rewrite !softmax_expected. unfold plus, minus, opp, zero, scal; simpl; unfold mult; simpl.
    unfold plus, opp, Rdiv; simpl. ring.
Qed.

Lemma token_curvature : is_derive token_slope 0 (variance p (slope 0)).
Proof.
  apply (is_derive_ext (fun t => sum (fun k => exp (z t k) * slope t k) classes / partition (z t) - expected p (slope t))).
  { intros. unfold token_slope. now rewrite (softmax_expected t). }
  evar_last.
  - apply @is_derive_minus; [|apply expected_derive; intros; apply bent].
    apply @is_derive_div; [| apply partition_slope |apply Rgt_not_eq, partition_positive].
    apply (PenaltyLevels.is_derive_sum (fun k t => exp (z t k) * slope t k)
      (fun k => exp (z 0 k) * slope 0 k * slope 0 k + exp (z 0 k) * bend k)). intros k _.
    evar_last.
    + apply @is_derive_mult; [|apply bent|intros; apply Rmult_comm].
      apply (is_derive_comp exp (fun t => z t k)); [apply is_derive_exp|apply smooth].
    + unfold plus, scal; simpl; unfold mult; simpl; ring.
  - rewrite variance_moments, !softmax_expected by apply softmax_one. rewrite sum_plus.
    rewrite (sum_ext (fun k => exp (z 0 k) * slope 0 k * slope 0 k) (fun k => exp (z 0 k) * (slope 0 k * slope 0 k))) by (intros; ring).
    unfold minus, plus, opp; simpl. field. apply Rgt_not_eq, partition_positive.
Qed.
End Token.
End Classes.

(* All tokens together: the divergence from the model as trained is 0, flat, and bends by the sum of variances, which
   is not negative. *)
Theorem gate_gram {T K} (tokens : list T) (classes : list K) (z slope : R -> T -> K -> R) (bend : T -> K -> R) :
  classes <> [] ->
  (forall t i k, is_derive (fun t => z t i k) t (slope t i k)) ->
  (forall i k, is_derive (fun t => slope t i k) 0 (bend i k)) ->
  let p i := softmax (z 0 i) 1 classes in
  sum (fun i => divergence classes (p i) (z 0 i)) tokens = 0 /\
  exists first : R -> R,
    (forall t, is_derive (fun t => sum (fun i => divergence classes (p i) (z t i)) tokens) t (first t)) /\
    first 0 = 0 /\
    is_derive first 0 (sum (fun i => variance classes (p i) (slope 0 i)) tokens) /\
    0 <= sum (fun i => variance classes (p i) (slope 0 i)) tokens.
Proof.
  intros N S B p. split.
  { apply sum_all_zero. intros i _. apply sum_all_zero. intros k _. unfold p. ring. }
  exists (fun t => sum (fun i => token_slope classes (fun t => z t i) (fun t => slope t i) t) tokens).
  split; [|split; [|split]].
  - intros t. apply (PenaltyLevels.is_derive_sum (fun i t => divergence classes (p i) (z t i))
      (fun i => token_slope classes (fun t => z t i) (fun t => slope t i) t)).
    intros i _. apply token_flat; auto.
  - apply sum_all_zero. intros i _. unfold token_slope. ring.
  - apply (PenaltyLevels.is_derive_sum (fun i => token_slope classes (fun t => z t i) (fun t => slope t i))
      (fun i => variance classes (p i) (slope 0 i))).
    intros i _. apply token_curvature with (bend i); auto.
  - apply sum_nonneg. intros i _. apply variance_nonneg. intros k _. apply Rlt_le, softmax_positive, N.
Qed.

(* Slopes along gates that move at speeds v: the sum of variances is v^T (Gram matrix) v. *)
Theorem gate_gram_matrix {T K G} (tokens : list T) (classes : list K) (gates : list G) (p : T -> K -> R)
  (J : T -> G -> K -> R) (v : G -> R) :
  sum (fun i => variance classes (p i) (fun k => sum (fun c => v c * J i c k) gates)) tokens =
  sum (fun c => sum (fun d => v c * v d * sum (fun i => covariance classes (p i) (J i c) (J i d)) tokens) gates) gates.
Proof.
  transitivity (sum (fun i => sum (fun c => sum (fun d => v c * v d * covariance classes (p i) (J i c) (J i d)) gates) gates) tokens).
  - apply sum_ext. intros i _. unfold variance, covariance, Bound.gate_gram.
    assert (E : expected classes (p i) (fun k => sum (fun c => v c * J i c k) gates) =
      sum (fun c => v c * expected classes (p i) (J i c)) gates).
    { unfold expected. rewrite (sum_ext _ (fun k => sum (fun c => p i k * (v c * J i c k)) gates)) by (intros; now rewrite sum_scal).
      rewrite sum_swap. apply sum_ext. intros c _. rewrite <- sum_scal. apply sum_ext. intros. ring. }
    rewrite E. set (m := fun c => expected classes (p i) (J i c)).
    rewrite (sum_ext _ (fun k => sum (fun c => sum (fun d => v c * v d * (p i k * ((J i c k - m c) * (J i d k - m d)))) gates) gates)).
    + rewrite sum_swap. apply sum_ext. intros c _. rewrite sum_swap. apply sum_ext. intros d _. now rewrite sum_scal.
    + intros k _. rewrite <- sum_minus.
      set (x := fun c => v c * (J i c k - m c)).
      rewrite (sum_ext (fun c => v c * J i c k - v c * expected classes (p i) (J i c)) x) by (intros; unfold x, m; ring).
      transitivity (sum (fun c => p i k * sum x gates * x c) gates); [rewrite sum_scal; ring|].
      apply sum_ext. intros c _. rewrite Rmult_comm, <- !sum_scal. apply sum_ext. intros d _. unfold x. ring.
  - rewrite sum_swap. apply sum_ext. intros c _. rewrite sum_swap. apply sum_ext. intros d _. now rewrite sum_scal.
Qed.

(* Two classes, logits t and 0: a fair coin's variance. *)
Example gate_gram_instance : exists first : R -> R,
  (forall t, is_derive (fun t => divergence [true; false] (fun _ => / 2) (fun k : bool => if k then t else 0)) t (first t)) /\
  first 0 = 0 /\ is_derive first 0 (/ 4).
Proof.
  assert (F : softmax (fun k : bool => if k then 0 else 0) 1 [true; false] = fun _ => / 2).
  { apply functional_extensionality. intros k. rewrite softmax_partition. unfold partition. simpl.
    destruct k; rewrite exp_0; field. }
  destruct (gate_gram [tt] [true; false] (fun t _ k => if k then t else 0) (fun _ _ k => if k then 1 else 0)
    (fun _ _ => 0)) as [_ [first [D1 [Flat [D2 _]]]]].
  - easy.
  - intros t _ [|]; [apply (is_derive_id (K := R_AbsRing))|apply (is_derive_const 0)].
  - intros _ k. apply (is_derive_const (K := R_AbsRing) (V := R_NormedModule)).
  - rewrite F in D1, D2. exists first. split; [|split; [exact Flat|]].
    + intros t. apply (is_derive_ext (fun t =>
        sum (fun _ => divergence [true; false] (fun _ => / 2) (fun k : bool => if k then t else 0)) [tt])), D1.
      intros u. simpl. ring.
    + replace (/ 4) with (sum (fun _ : unit => variance [true; false] (fun _ : bool => / 2) (fun k => if k then 1 else 0)) [tt]).
      * exact D2.
      * unfold variance, expected, Bound.gate_gram. simpl. field.
Qed.
