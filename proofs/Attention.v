(* Attention as normalised positive weights; softmax; leakage, fidelity, entropy; margin and range.
   Lists hold the visible keys; a block and its anchors are parts of them. Natural logarithms; 0 ln 0 = 0. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import Sums.
Open Scope R_scope.

Section Attention.
Context {A : Type}.
Implicit Types (w p s : A -> R) (keys : list A) (block anchor : A -> bool).

Definition attention w keys (j : A) : R := w j / sum w keys.
Definition softmax s (tau : R) keys : A -> R := attention (fun j => exp (s j / tau)) keys.

Definition leakage p block keys : R := mass (outside block) p keys.
Definition fidelity p block keys : R := mass block p keys.
Definition entropy p keys : R := - sum (fun j => p j * ln (p j)) keys.

(* 1 <= r <= m < n. *)
Record row keys block anchor : Prop := {
  anchors_inside : forall j, In j keys -> anchor j = true -> block j = true;
  some_anchor : exists j, In j keys /\ anchor j = true;
  some_outside : exists j, In j keys /\ block j = false }.

(* Every anchor beats every key outside the block by the margin; all logits lie within the range. *)
Definition margin s (delta : R) keys block anchor : Prop :=
  forall a o, In a keys -> In o keys -> anchor a = true -> block o = false -> s o + delta <= s a.
Definition within s (range : R) keys : Prop := forall j k, In j keys -> In k keys -> s j <= s k + range.

(* The same of weights, by factors. *)
Definition weight_margin w (ratio : R) keys block anchor : Prop :=
  forall a o, In a keys -> In o keys -> anchor a = true -> block o = false -> ratio * w o <= w a.
Definition weight_within w (ratio : R) keys : Prop := forall j k, In j keys -> In k keys -> w j <= ratio * w k.

Lemma weight_pos s tau j : 0 < exp (s j / tau).
Proof. apply exp_pos. Qed.

Lemma exp_le x y : x <= y -> exp x <= exp y.
Proof. intros [H| ->]; [left; apply exp_increasing, H|lra]. Qed.

Lemma ln_le x y : 0 < x -> x <= y -> ln x <= ln y.
Proof. intros P [H| ->]; [left; apply ln_increasing; auto|lra]. Qed.

Lemma scaled_le tau x y : 0 < tau -> x <= y -> x / tau <= y / tau.
Proof. intros T H. apply Rmult_le_compat_r; auto. left. apply Rinv_0_lt_compat, T. Qed.

Lemma softmax_margin s tau delta keys block anchor : 0 < tau ->
  margin s delta keys block anchor ->
  weight_margin (fun j => exp (s j / tau)) (exp (delta / tau)) keys block anchor.
Proof.
  intros T H a o Ha Ho Aa Bo. rewrite <- exp_plus. apply exp_le.
  replace (delta / tau + s o / tau) with ((s o + delta) / tau) by (field; lra). apply scaled_le; auto.
Qed.

Lemma softmax_within s tau range keys : 0 < tau ->
  within s range keys -> weight_within (fun j => exp (s j / tau)) (exp (range / tau)) keys.
Proof.
  intros T H j k Hj Hk. rewrite <- exp_plus. apply exp_le.
  replace (range / tau + s k / tau) with ((s k + range) / tau) by (field; lra). apply scaled_le; auto.
Qed.

Section Weights.
Variables (w : A -> R) (keys : list A).
Hypothesis positive : forall j, In j keys -> 0 < w j.
Hypothesis nonempty : exists j, In j keys.

Lemma total_pos : 0 < sum w keys.
Proof.
  destruct nonempty as [j Hj]. apply sum_pos; [intros; left; auto|]. exists j. auto.
Qed.

Lemma attention_pos j : In j keys -> 0 < attention w keys j.
Proof. intros H. apply Rmult_lt_0_compat; auto. apply Rinv_0_lt_compat, total_pos. Qed.

Lemma attention_sum : sum (attention w keys) keys = 1.
Proof. unfold attention. rewrite sum_div. apply Rinv_r. assert (H := total_pos). lra. Qed.

Lemma attention_mass S : mass S (attention w keys) keys = mass S w keys / sum w keys.
Proof. apply mass_div. Qed.

Lemma fidelity_leakage block :
  fidelity (attention w keys) block keys = 1 - leakage (attention w keys) block keys.
Proof. unfold fidelity, leakage. rewrite <- attention_sum, (mass_split block (attention w keys)). ring. Qed.
End Weights.

(* Softmax does not see a factor common to all weights. *)
Lemma attention_scaled w c keys j : c <> 0 -> sum w keys <> 0 ->
  attention (fun k => c * w k) keys j = attention w keys j.
Proof. intros C T. unfold attention. rewrite sum_scal. field. auto. Qed.

Lemma attention_ext w v keys j : (forall k, In k keys -> w k = v k) -> In j keys ->
  attention w keys j = attention v keys j.
Proof. intros H Hj. unfold attention. rewrite (H j Hj), (sum_ext w v); auto. Qed.

(* Counts of a row: 0 < r <= m < n. *)
Lemma row_counts keys block anchor : row keys block anchor ->
  0 < count anchor keys /\ count anchor keys <= count block keys /\ count block keys < size keys
  /\ count (without block anchor) keys = count block keys - count anchor keys
  /\ count (outside block) keys = size keys - count block keys.
Proof.
  intros [I Sa [o [Ho Bo]]].
  assert (P := count_part block anchor keys I). assert (Q := count_split block keys).
  assert (R := count_pos anchor keys Sa). assert (N := count_nonneg (without block anchor) keys).
  assert (O : 0 < count (outside block) keys).
  { apply count_pos. exists o. unfold outside. rewrite Bo. auto. }
  lra.
Qed.

(* Rows on three levels: anchors, free keys of the block, keys outside. *)
Definition levels {B} block anchor (a f o : B) (j : A) : B :=
  if block j then (if anchor j then a else f) else o.

Section Levels.
Variables (keys : list A) (block anchor : A -> bool).
Hypothesis valid : row keys block anchor.
Local Notation n := (size keys).
Local Notation m := (count block keys).
Local Notation r := (count anchor keys).

Lemma mass_outside_levels (g : R -> R) a f o :
  mass (outside block) (fun j => g (levels block anchor a f o j)) keys = (n - m) * g o.
Proof.
  destruct (row_counts _ _ _ valid) as (_ & _ & _ & _ & E). rewrite <- E, <- mass_const.
  apply mass_ext. intros j _. unfold outside, levels. destruct (block j); simpl; congruence.
Qed.

Lemma mass_anchor_levels (g : R -> R) a f o :
  mass anchor (fun j => g (levels block anchor a f o j)) keys = r * g a.
Proof.
  rewrite <- mass_const. apply mass_ext. intros j Hj H. unfold levels.
  rewrite (anchors_inside _ _ _ valid j Hj H), H. auto.
Qed.

Lemma mass_block_levels (g : R -> R) a f o :
  mass block (fun j => g (levels block anchor a f o j)) keys = r * g a + (m - r) * g f.
Proof.
  destruct (row_counts _ _ _ valid) as (_ & _ & _ & E & _).
  rewrite (mass_part block anchor), mass_anchor_levels by (apply anchors_inside, valid).
  rewrite <- E, <- (mass_const (without block anchor)). f_equal. apply mass_ext.
  intros j _. unfold without, levels. destruct (block j), (anchor j); simpl; congruence.
Qed.

Lemma sum_levels (g : R -> R) a f o :
  sum (fun j => g (levels block anchor a f o j)) keys = r * g a + (m - r) * g f + (n - m) * g o.
Proof. rewrite (mass_split block), mass_outside_levels, mass_block_levels. auto. Qed.

Lemma row_nonempty : exists j, In j keys.
Proof. destruct (some_anchor _ _ _ valid) as [j [H _]]. exists j. auto. Qed.

Lemma levels_margin a f o delta : o + delta <= a -> margin (levels block anchor a f o) delta keys block anchor.
Proof.
  intros H j k Hj Hk Aj Bk. unfold levels. rewrite Bk, (anchors_inside _ _ _ valid j Hj Aj), Aj. auto.
Qed.
End Levels.
End Attention.
