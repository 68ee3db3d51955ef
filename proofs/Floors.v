(* Floors: what a logit range D cannot reach (claims C4, C5 read the other way). Mirrors bounds/floors/theorems.

   The entropy of a row, as a function of one weight alone, is least at an end of that weight's interval: the total Z ln Z
   less x ln x is concave in x. Pushing the weights one by one to 1 or e^D leaves a row with k weights e^D and n - k
   weights 1, whose entropy is the expression. Specht's floor needs no such argument: w ln w lies below its chord. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Attention Information Concentration.
Import ListNotations.
Open Scope R_scope.

Theorem fidelity_ceiling {A} (s : A -> R) tau (keys : list A) block anchor range : row keys block anchor ->
  0 < tau -> within s range keys ->
  fidelity (softmax s tau keys) block keys <= Bound.fidelity_ceiling (range / tau) (size keys) (count block keys).
Proof.
  intros V T K. destruct (row_counts _ _ _ V) as (Hr & M & N & _ & O). unfold Bound.fidelity_ceiling.
  assert (E := exp_pos (- (range / tau))).
  apply fidelity_at_most with anchor; auto; [intros; apply exp_pos|lra|sign|].
  rewrite <- O, Rmult_assoc, <- mass_scal. apply mass_pairs. intros o b Ho Hb _ _.
  assert (P := softmax_within s tau range keys T K b o Hb Ho). rewrite exp_Ropp.
  apply (Rmult_le_reg_l (exp (range / tau))); [apply exp_pos|].
  rewrite <- Rmult_assoc, Rinv_r by (apply Rgt_not_eq, exp_pos). lra.
Qed.

Theorem fidelity_ceiling_attained {A} (keys : list A) block tau range : row keys block block -> 0 < tau -> 0 <= range ->
  let s := levels block block range range 0 in
  within s range keys /\
  fidelity (softmax s tau keys) block keys = Bound.fidelity_ceiling (range / tau) (size keys) (count block keys).
Proof.
  intros V T D s. split.
  - intros j k _ _. unfold s, levels. destruct (block j), (block k); lra.
  - destruct (fidelity_floor_attained keys block tau range V T) as [_ E]. exact E.
Qed.

(* The entropy of weights with total Z and sum of w ln w equal to T. *)
Definition spread (Z T : R) : R := ln Z - T / Z.

Lemma spread_weights {A} (w : A -> R) keys : (exists j, In j keys) -> (forall j, In j keys -> 0 < w j) ->
  entropy (attention w keys) keys = spread (sum w keys) (sum (fun j => w j * ln (w j)) keys).
Proof. intros. apply entropy_attention; auto. Qed.

(* x -> (S+x) ln (S+x) - x ln x lies below its tangent at x. *)
Lemma tangent_above S x y : 0 <= S -> 0 < x -> 0 < y ->
  (S + y) * ln (S + y) - y * ln y <= (S + x) * ln (S + x) - x * ln x + (y - x) * (ln (S + x) - ln x).
Proof.
  intros HS X Y. set (b := (S + y) / (S + x)). assert (B : 0 < b) by (unfold b; sign).
  assert (L1 := ln_below b B). assert (L2 := ln_above (y / x / b) ltac:(sign)).
  assert (E : ln b = ln (S + y) - ln (S + x)) by (apply ln_div; lra).
  rewrite ln_div, ln_div in L2 by sign.
  replace (/ (y / x / b)) with (x * b / y) in L2 by (field; lra).
  assert (K : y * (1 - x * b / y) <= y * (ln y - ln x - ln b)) by (apply Rmult_le_compat_l; lra).
  replace (y * (1 - x * b / y)) with (y - x * b) in K by (field; lra).
  assert (K' : S * ln b <= S * (b - 1)) by (apply Rmult_le_compat_l; lra).
  assert (B' : b * (S + x) = S + y) by (unfold b; field; lra).
  replace (ln (S + y)) with (ln b + ln (S + x)) by lra. nra.
Qed.

Section Vertices.
Variable D : R.
Hypothesis D_pos : 0 < D.
Local Notation E := (exp D).

Lemma E_above : 1 < E.
Proof. rewrite <- exp_0. apply exp_increasing, D_pos. Qed.

(* One weight goes to an end, and the entropy does not rise. *)
Lemma push_one S T x : 0 <= S -> 1 <= x <= E ->
  spread (S + 1) T <= spread (S + x) (T + x * ln x) \/ spread (S + E) (T + E * D) <= spread (S + x) (T + x * ln x).
Proof.
  intros HS [X1 X2]. assert (He := E_above).
  assert (T1 := tangent_above S x 1 HS ltac:(lra) ltac:(lra)).
  assert (T2 := tangent_above S x E HS ltac:(lra) ltac:(lra)). rewrite ln_1 in T1. rewrite ln_exp in T2.
  set (t := (E - x) / (E - 1)). assert (Ht : 0 <= t <= 1).
  { unfold t. split; [apply Rmult_le_pos; [lra|left; apply Rinv_0_lt_compat; lra]|].
    apply (Rmult_le_reg_r (E - 1)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
  assert (Ex : x = t * 1 + (1 - t) * E) by (unfold t; field; lra).
  set (h := spread (S + x) (T + x * ln x)).
  assert (Hh : (S + x) * ln (S + x) - T - x * ln x = (S + x) * h) by (unfold h, spread; field; lra).
  destruct (Rle_lt_dec (spread (S + 1) T) h) as [|H1]; auto. right.
  destruct (Rle_lt_dec (spread (S + E) (T + E * D)) h) as [|H2]; auto. exfalso.
  assert (H1' : (S + 1) * h < (S + 1) * ln (S + 1) - T).
  { replace ((S + 1) * ln (S + 1) - T) with ((S + 1) * spread (S + 1) T) by (unfold spread; field; lra).
    apply Rmult_lt_compat_l; lra. }
  assert (H2' : (S + E) * h < (S + E) * ln (S + E) - T - E * D).
  { replace ((S + E) * ln (S + E) - T - E * D) with ((S + E) * spread (S + E) (T + E * D))
      by (unfold spread; field; lra).
    apply Rmult_lt_compat_l; lra. }
  set (k := ln (S + x) - ln x) in *.
  assert (A1 : (S + 1) * h < (S + x) * h + (1 - x) * k) by lra.
  assert (A2 : (S + E) * h < (S + x) * h + (E - x) * k) by lra.
  assert (A3 : (1 - x) * h < (1 - x) * k) by lra. assert (A4 : (E - x) * h < (E - x) * k) by lra.
  destruct (Rle_lt_dec k h); nra.
Qed.

(* All of them do. *)
Lemma push_all (l : list R) : (forall x, In x l -> 1 <= x <= E) -> forall S T, 0 <= S ->
  exists k, (k <= length l)%nat /\
  spread (S + INR k * E + (INR (length l) - INR k)) (T + INR k * (E * D))
    <= spread (S + sum (fun x => x) l) (T + sum (fun x => x * ln x) l).
Proof.
  assert (He := E_above).
  induction l as [|x l IH]; intros H S T HS.
  - exists 0%nat. split; auto. simpl. rewrite !Rmult_0_l, Rminus_0_r, !Rplus_0_r. lra.
  - assert (P : 0 <= sum (fun x => x) l).
    { apply sum_nonneg. intros y Hy. specialize (H y (or_intror Hy)). lra. }
    assert (IH' := IH ltac:(intros y Hy; apply H; right; auto)).
    simpl sum. simpl length. rewrite S_INR.
    replace (S + (x + sum (fun x => x) l)) with ((S + sum (fun x => x) l) + x) by ring.
    replace (T + (x * ln x + sum (fun x => x * ln x) l)) with ((T + sum (fun x => x * ln x) l) + x * ln x) by ring.
    destruct (push_one (S + sum (fun x => x) l) (T + sum (fun x => x * ln x) l) x ltac:(lra) (H x (or_introl eq_refl)))
      as [Q|Q].
    + destruct (IH' (S + 1) T ltac:(lra)) as [k [Hk K]]. exists k. split; [lia|].
      apply Rle_trans with (2 := Q). replace (S + sum (fun x => x) l + 1) with (S + 1 + sum (fun x => x) l) by ring.
      apply Rle_trans with (2 := K). right. f_equal. ring.
    + destruct (IH' (S + E) (T + E * D) ltac:(lra)) as [k [Hk K]]. exists (Datatypes.S k). split; [lia|].
      apply Rle_trans with (2 := Q). replace (S + sum (fun x => x) l + E) with (S + E + sum (fun x => x) l) by ring.
      replace (T + sum (fun x => x * ln x) l + E * D) with (T + E * D + sum (fun x => x * ln x) l) by ring.
      apply Rle_trans with (2 := K). right. rewrite S_INR. f_equal; ring.
Qed.

(* k weights e^D and n - k weights 1: the expression. *)
Lemma vertex_entropy n k : 0 < k -> k <= n ->
  spread (k * E + (n - k)) (k * (E * D)) = Bound.entropy_floor D n k.
Proof.
  intros K N. unfold spread, Bound.entropy_floor. rewrite exp_Ropp. assert (He := exp_pos D).
  assert (P : 0 < k + (n - k) * / E) by sign.
  replace (k * E + (n - k)) with (E * (k + (n - k) * / E)) by (field; lra).
  rewrite ln_mult, ln_exp by lra. field. assert (0 < k * E + (n - k)) by sign. split; lra.
Qed.
End Vertices.

(* The floor is attained, at every number of keys on top. *)
Theorem entropy_floor_attained {A} (keys : list A) block tau range : row keys block block -> 0 < tau -> 0 < range ->
  let s := levels block block range range 0 in
  within s range keys /\
  entropy (softmax s tau keys) keys = Bound.entropy_floor (range / tau) (size keys) (count block keys).
Proof.
  intros V T D s. split.
  - intros j k _ _. unfold s, levels. destruct (block j), (block k); lra.
  - destruct (row_counts _ _ _ V) as (Hr & M & N & _). assert (Ne := row_nonempty keys block block V).
    unfold softmax. rewrite spread_weights by (auto; intros; apply exp_pos).
    assert (D' : 0 < range / tau) by sign. rewrite <- vertex_entropy by lra.
    unfold s. rewrite (sum_levels keys block block V (fun y => exp (y / tau))).
    rewrite (sum_levels keys block block V (fun y => exp (y / tau) * ln (exp (y / tau)))).
    replace (0 / tau) with 0 by (field; lra). rewrite !ln_exp, exp_0. f_equal; ring.
Qed.

Lemma one_on_top D n : (2 <= n)%nat -> 0 < D -> Bound.entropy_floor D (INR n) 1 <= ln (INR n).
Proof.
  intros N HD. set (keys := seq 0 n). set (first := fun j => Nat.eqb j 0).
  assert (V : row keys first first).
  { split; auto.
    - exists 0%nat. split; [apply in_seq; lia|auto].
    - exists 1%nat. split; [apply in_seq; lia|auto]. }
  destruct (entropy_floor_attained keys first 1 D V ltac:(lra) HD) as [_ H].
  assert (S : size keys = INR n) by (unfold size, keys; rewrite seq_length; auto).
  assert (C : count first keys = 1).
  { unfold count, keys. destruct n as [|n]; [lia|]. simpl. replace (filter first (seq 1 n)) with (@nil nat); [auto|].
    symmetry. clear. assert (forall k, (0 < k)%nat -> filter first (seq k n) = []) as H; [|apply H; lia].
    induction n; intros k K; simpl; auto. unfold first at 1. destruct k; [lia|]. simpl. apply IHn. lia. }
  rewrite S, C in H. replace (D / 1) with D in H by field. rewrite <- H, <- S.
  apply entropy_below_log_size.
  - intros j Hj. left. apply attention_pos; auto; [intros; apply exp_pos|exists j; auto].
  - apply attention_sum; [intros; apply exp_pos|exact (row_nonempty keys first first V)].
Qed.

(* Logits may be measured from any level. *)
Lemma entropy_shifted {A} (s : A -> R) tau (keys : list A) level : 0 < tau -> (exists j, In j keys) ->
  entropy (softmax s tau keys) keys = entropy (attention (fun j => exp ((s j - level) / tau)) keys) keys.
Proof.
  intros T Ne. unfold entropy. f_equal. apply sum_ext. intros j Hj.
  assert (attention (fun j => exp ((s j - level) / tau)) keys j = softmax s tau keys j) as ->; [|auto].
  unfold softmax. rewrite <- (attention_scaled (fun j => exp (s j / tau)) (exp (- (level / tau)))).
  - apply attention_ext; auto. intros k _. rewrite <- exp_plus. f_equal. field. lra.
  - apply Rgt_not_eq, exp_pos.
  - apply Rgt_not_eq, total_pos; auto. intros; apply exp_pos.
Qed.

Theorem entropy_floor {A} (s : A -> R) tau (keys : list A) range : (2 <= length keys)%nat -> 0 < tau -> 0 < range ->
  within s range keys ->
  exists k, (1 <= k < length keys)%nat /\
  entropy (softmax s tau keys) keys >= Bound.entropy_floor (range / tau) (size keys) (INR k).
Proof.
  intros L T R0 H. set (D := range / tau). assert (HD : 0 < D) by (unfold D; sign).
  destruct (least s keys) as [b [Hb B]]; [destruct keys; simpl in *; [lia|congruence]|].
  set (v := fun j => exp ((s j - s b) / tau)).
  assert (Ne : exists j, In j keys) by (exists b; auto).
  assert (Vp : forall j, In j keys -> 0 < v j) by (intros; apply exp_pos).
  assert (Same := entropy_shifted s tau keys (s b) T Ne : entropy (softmax s tau keys) keys = entropy (attention v keys) keys).
  rewrite Same, spread_weights by auto.
  destruct (push_all D HD (map v keys)) with (S := 0) (T := 0) as [k [Hk K]]; [|lra|].
  - intros x Hx. apply in_map_iff in Hx. destruct Hx as [j [<- Hj]]. unfold v. split.
    + rewrite <- exp_0. apply exp_le. specialize (B j Hj). apply Rmult_le_pos; [lra|left; sign].
    + apply exp_le. unfold D. apply scaled_le; auto. specialize (H j b Hj Hb). lra.
  - rewrite map_length in *. rewrite !Rplus_0_l in K.
    assert (Sm : forall g, sum g (map v keys) = sum (fun j => g (v j)) keys).
    { intros g. clear. induction keys as [|x l IH]; simpl; auto. rewrite IH. auto. }
    rewrite !Sm in K. fold (size keys) in K.
    destruct (Nat.eq_dec k 0) as [->|K0]; [|destruct (Nat.eq_dec k (length keys)) as [->|K1]].
    + exists 1%nat. split; [lia|]. apply Rle_ge. simpl (INR 1). unfold size.
      apply Rle_trans with (1 := one_on_top D (length keys) L HD). apply Rle_trans with (2 := K).
      simpl. unfold spread, size. rewrite Rmult_0_l, Rmult_0_l, Rplus_0_l, Rminus_0_r. unfold Rdiv. lra.
    + exists 1%nat. split; [lia|]. apply Rle_ge. simpl (INR 1). unfold size at 1.
      apply Rle_trans with (1 := one_on_top D (length keys) L HD). apply Rle_trans with (2 := K).
      assert (0 < INR (length keys)) by (apply lt_0_INR; lia). assert (E := exp_pos D).
      unfold spread, size. replace (INR (length keys) * exp D + (INR (length keys) - INR (length keys)))
        with (INR (length keys) * exp D) by ring. rewrite ln_mult, ln_exp by auto.
      right. field. lra.
    + exists k. split; [lia|]. apply Rle_ge. rewrite <- vertex_entropy; auto.
      * apply lt_0_INR. lia.
      * unfold size. apply le_INR. lia.
Qed.

(* Falling before the best real number of keys and rising after it: of the whole numbers only its two neighbours need
   looking at. Z/n = z, and the entropy is ln n + ln z - c (1 - 1/z). *)
Lemma floor_in_z D n k : 0 < D -> 0 < n -> 0 < k -> k <= n ->
  let c := D / (1 - exp (- D)) in let z := 1 + k / n * (exp D - 1) in
  Bound.entropy_floor D n k = ln n + ln z - c * (1 - / z).
Proof.
  intros HD N K Kn c z. assert (He := E_above D HD). assert (E := exp_pos D).
  assert (Z : 0 < z) by (unfold z; assert (0 < k / n) by sign; nra).
  rewrite <- vertex_entropy by auto. unfold spread.
  assert (Ez : k * exp D + (n - k) = n * z) by (unfold z; field; lra). rewrite Ez, ln_mult by lra.
  replace (k * (exp D * D)) with (c * n * (z - 1)).
  - unfold Rminus. field. lra.
  - unfold z, c. rewrite exp_Ropp. field. lra.
Qed.

Theorem entropy_floor_neighbours D n j k : 0 < D -> 0 < n -> 0 < j -> j <= k -> k <= n ->
  let best := n * (D / (1 - exp (- D)) - 1) / (exp D - 1) in
  (k <= best -> Bound.entropy_floor D n k <= Bound.entropy_floor D n j) /\
  (best <= j -> Bound.entropy_floor D n j <= Bound.entropy_floor D n k).
Proof.
  intros HD N J JK K best. assert (He := E_above D HD).
  rewrite !floor_in_z by lra. set (c := D / (1 - exp (- D))) in *.
  set (y := 1 + j / n * (exp D - 1)). set (z := 1 + k / n * (exp D - 1)).
  assert (Y : 1 < y) by (unfold y; assert (0 < j / n) by sign; nra).
  assert (YZ : y <= z).
  { unfold y, z. assert (j / n <= k / n) by (apply scaled_le; auto). nra. }
  assert (Bz : forall i, 1 + i / n * (exp D - 1) - c = (i - best) / n * (exp D - 1)).
  { intros i. unfold best. field. lra. }
  split; intros H.
  - assert (Zc : z <= c).
    { specialize (Bz k). fold z in Bz. assert (0 <= (best - k) / n) by sign.
      replace ((k - best) / n) with (- ((best - k) / n)) in Bz by (field; lra). nra. }
    assert (L := ln_above (y / z) ltac:(sign)). rewrite ln_div in L by lra.
    replace (/ (y / z)) with (z / y) in L by (field; lra).
    assert ((z - y) / y <= c * (/ y - / z)).
    { replace (/ y - / z) with ((z - y) / (y * z)) by (field; lra).
      replace ((z - y) / y) with (z * ((z - y) / (y * z))) by (field; lra).
      apply Rmult_le_compat_r; [|auto]. apply Rmult_le_pos; [lra|left; sign]. }
    replace (1 - z / y) with (- ((z - y) / y)) in L by (field; lra). lra.
  - assert (Cy : c <= y).
    { specialize (Bz j). fold y in Bz. assert (0 <= (j - best) / n) by (apply Rmult_le_pos; [lra|left; sign]). nra. }
    assert (L := ln_above (z / y) ltac:(sign)). rewrite ln_div in L by lra.
    replace (/ (z / y)) with (y / z) in L by (field; lra).
    assert (c * (/ y - / z) <= (z - y) / z).
    { replace (/ y - / z) with ((z - y) / (y * z)) by (field; lra).
      replace ((z - y) / z) with (y * ((z - y) / (y * z))) by (field; lra).
      apply Rmult_le_compat_r; [|auto]. apply Rmult_le_pos; [lra|left; sign]. }
    replace (1 - y / z) with ((z - y) / z) in L by (field; lra). lra.
Qed.

(* Specht: w ln w lies below its chord over [1, e^D], and ln (Z/(n c)) >= 1 - n c / Z. *)
Lemma below_chord D x : 0 < D -> 1 <= x <= exp D -> x * ln x <= D / (1 - exp (- D)) * (x - 1).
Proof.
  intros HD [X1 X2]. assert (He := E_above D HD). set (E := exp D) in *.
  set (t := (E - x) / (E - 1)).
  assert (Ht : 0 <= t <= 1).
  { unfold t. split; [apply Rmult_le_pos; [lra|left; apply Rinv_0_lt_compat; lra]|].
    apply (Rmult_le_reg_r (E - 1)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
  assert (Ex : t * 1 + (1 - t) * E = x) by (unfold t; field; lra).
  assert (C := entropy_term_concave t 1 E Ht ltac:(lra) ltac:(lra) ltac:(lra)). rewrite Ex, ln_1 in C.
  unfold E at 2 in C. rewrite ln_exp in C. rewrite exp_Ropp. fold E.
  replace (D / (1 - / E) * (x - 1)) with ((1 - t) * (E * D)) by (unfold t; field; lra). lra.
Qed.

Theorem specht_floor {A} (s : A -> R) tau (keys : list A) range : keys <> [] -> 0 < tau -> 0 < range ->
  within s range keys ->
  entropy (softmax s tau keys) keys >= Bound.specht_floor (range / tau) (size keys).
Proof.
  intros L T R0 H. set (D := range / tau). assert (HD : 0 < D) by (unfold D; sign).
  destruct (least s keys L) as [b [Hb B]]. set (v := fun j => exp ((s j - s b) / tau)).
  assert (Ne : exists j, In j keys) by (exists b; auto).
  assert (Same := entropy_shifted s tau keys (s b) T Ne : entropy (softmax s tau keys) keys = entropy (attention v keys) keys).
  rewrite Same, spread_weights by (auto; intros; apply exp_pos). unfold spread.
  set (Z := sum v keys). assert (Zp : 0 < Z) by (apply total_pos; auto; intros; apply exp_pos).
  set (c := D / (1 - exp (- D))).
  assert (He := E_above D HD). assert (C : 0 < c).
  { unfold c. rewrite exp_Ropp. apply Rdiv_lt_0_compat; auto. assert (/ exp D < 1); [|lra].
    rewrite <- Rinv_1. apply Rinv_lt_contravar; lra. }
  assert (N : 0 < size keys) by (unfold size; apply lt_0_INR; destruct keys; simpl; [congruence|lia]).
  assert (Ch : sum (fun j => v j * ln (v j)) keys <= c * (Z - size keys)).
  { apply Rle_trans with (sum (fun j => c * (v j - 1)) keys).
    - apply sum_le. intros j Hj. apply below_chord; auto. unfold v. split.
      + rewrite <- exp_0. apply exp_le. specialize (B j Hj). apply Rmult_le_pos; [lra|left; sign].
      + apply exp_le. unfold D. apply scaled_le; auto. specialize (H j b Hj Hb). lra.
    - rewrite sum_scal, sum_minus, sum_const. unfold Z. lra. }
  assert (Q : sum (fun j => v j * ln (v j)) keys / Z <= c - size keys * c / Z).
  { apply (Rmult_le_reg_r Z); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
    replace ((c - size keys * c * / Z) * Z) with (c * (Z - size keys)) by (field; lra). lra. }
  assert (Ln := ln_above (Z / (size keys * c)) ltac:(sign)). rewrite ln_div, ln_mult in Ln by sign.
  replace (/ (Z / (size keys * c))) with (size keys * c / Z) in Ln by (field; lra).
  unfold Bound.specht_floor. fold c. lra.
Qed.

Example fidelity_ceiling_instance :
  fidelity (softmax two_high (1 / 2) five) first_three five <= Bound.fidelity_ceiling 4 5 3.
Proof.
  assert (H := fidelity_ceiling two_high (1 / 2) five first_three first_two 2 five_row ltac:(lra) five_within).
  counted H.
Qed.

Example entropy_floor_instance : exists k, (1 <= k < 5)%nat /\
  entropy (softmax two_high (1 / 2) five) five >= Bound.entropy_floor 4 5 (INR k).
Proof.
  assert (H := entropy_floor two_high (1 / 2) five 2 ltac:(simpl; lia) ltac:(lra) ltac:(lra) five_within).
  counted H.
Qed.

Example specht_floor_instance : entropy (softmax two_high (1 / 2) five) five >= Bound.specht_floor 4 5.
Proof.
  assert (H := specht_floor two_high (1 / 2) five 2 ltac:(discriminate) ltac:(lra) ltac:(lra) five_within).
  counted H.
Qed.

(* The forms that run are the expressions. *)
Theorem entropy_floor_form D n k : 0 < k -> k <= n -> Form.two_level_entropy D n k = Bound.entropy_floor D n k.
Proof.
  intros K N. unfold Form.two_level_entropy, Bound.entropy_floor. assert (E := exp_pos (- D)).
  assert (P : 0 <= (n - k) * exp (- D)) by sign.
  rewrite Rplus_assoc, <- ln_mult; [|auto|assert (0 <= (n - k) * exp (- D) / k) by sign; lra].
  do 2 f_equal. field. lra.
Qed.

Theorem specht_floor_form D n : 0 < D -> Form.specht_floor D n = Bound.specht_floor D n.
Proof.
  intros H. unfold Form.specht_floor, Bound.specht_floor. destruct (Req_EM_T D 0) as [E|_]; [lra|].
  assert (E : exp (- D) < 1) by (rewrite <- exp_0; apply exp_increasing; lra).
  replace (- (D / (exp (- D) - 1))) with (D / (1 - exp (- D))) by (field; lra). auto.
Qed.
