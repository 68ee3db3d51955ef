(* Entropy: what a margin, or a leakage, leaves of it at most (claim C4). Mirrors bounds/entropy/theorems.

   The maximum is exact. Gibbs with the weights e^x on the anchors, 1 outside and e^(x(1-g)) on the free keys turns the
   margin itself, r e^x eps <= (n-m) P_anchors, into the ceiling, and the row with these weights attains it. So it is
   monotone by inclusion: a row that satisfies the sharper hypothesis satisfies the weaker one. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Attention Information Concentration.
Import ListNotations.
Open Scope R_scope.

Section Ceiling.
Context {A : Type}.
Variables (keys : list A) (block anchor : A -> bool).
Hypothesis valid : row keys block anchor.
Local Notation n := (size keys).
Local Notation m := (count block keys).
Local Notation r := (count anchor keys).

(* The logit of the free keys, over temperature, in the row of largest entropy: x (1 - g). *)
Definition free_level (x n m r : R) : R := x * r / (r + (n - m) * exp (- x)).

Section Maximiser.
Variable x : R.
Local Notation f := (free_level x n m r).
Local Notation v := (levels block anchor (exp x) (exp f) 1).

Lemma maximiser_total : sum v keys = exp f * exp (Bound.entropy_ceiling x n m r).
Proof.
  destruct (row_counts _ _ _ valid) as (Hr & M & N & _). assert (E := exp_pos (- x)).
  assert (U : 0 < (n - m) * exp (- x)) by sign.
  unfold Bound.entropy_ceiling. rewrite exp_ln.
  - rewrite (sum_levels keys block anchor valid (fun y => y)).
    unfold Rminus at 3. rewrite !Rmult_plus_distr_l.
    replace (exp f * ((r + (n - m) * exp (- x)) * exp (x * (n - m) * exp (- x) / (r + (n - m) * exp (- x)))))
      with ((r + (n - m) * exp (- x)) * exp x); [rewrite exp_Ropp; field; apply Rgt_not_eq, exp_pos|].
    rewrite Rmult_comm, Rmult_assoc, (Rmult_comm (exp f)), Rmult_assoc, <- exp_plus.
    rewrite Rmult_comm. f_equal. f_equal. unfold free_level. field. lra.
  - assert (P := exp_pos (x * (n - m) * exp (- x) / (r + (n - m) * exp (- x)))). nra.
Qed.

Lemma maximiser_pos j : 0 < v j.
Proof. unfold levels. destruct (block j), (anchor j); try apply exp_pos; lra. Qed.

Lemma ceiling_is : Bound.entropy_ceiling x n m r = ln (sum v keys) - f.
Proof. rewrite maximiser_total, ln_mult, !ln_exp by apply exp_pos. ring. Qed.

Lemma ln_maximiser j : ln (v j) = levels block anchor x f 0 j.
Proof. unfold levels. destruct (block j), (anchor j); rewrite ?ln_exp, ?ln_1; auto. Qed.
End Maximiser.

Lemma ceiling_at_zero : Bound.entropy_ceiling 0 n m r = ln n.
Proof.
  destruct (row_counts _ _ _ valid) as (Hr & M & N & _).
  unfold Bound.entropy_ceiling. rewrite Ropp_0, exp_0. replace (0 * (n - m) * 1 / (r + (n - m) * 1)) with 0.
  - rewrite exp_0. f_equal. ring.
  - field. lra.
Qed.

Lemma entropy_ceiling_weights w x : 0 <= x -> (forall j, In j keys -> 0 < w j) ->
  weight_margin w (exp x) keys block anchor ->
  entropy (attention w keys) keys <= Bound.entropy_ceiling x n m r.
Proof.
  intros X W H. assert (N := row_nonempty keys block anchor valid).
  assert (Z := total_pos w keys W N). assert (T := attention_sum w keys W N).
  set (a := attention w keys) in *.
  assert (P : forall j, In j keys -> 0 <= a j) by (intros; left; apply attention_pos; auto).
  apply Rle_trans with (1 := gibbs_weights a (levels block anchor (exp x) (exp (free_level x n m r)) 1) keys P T
    (fun j _ => maximiser_pos x j)).
  rewrite ceiling_is. apply Rplus_le_compat_l, Ropp_le_contravar.
  rewrite (sum_ext _ (fun j => a j * levels block anchor x (free_level x n m r) 0 j))
    by (intros; rewrite ln_maximiser; auto).
  rewrite (mass_split block). set (f := free_level x n m r).
  replace (mass (outside block) _ keys) with 0.
  2: { symmetry. apply sum_all_zero. intros j _. unfold outside, levels. destruct (block j); simpl; ring. }
  rewrite (mass_part block anchor) by apply valid.
  rewrite (mass_ext anchor _ (fun j => x * a j)).
  2: { intros j Hj Aj. unfold levels. rewrite (anchors_inside _ _ _ valid j Hj Aj), Aj. ring. }
  rewrite (mass_ext (without block anchor) _ (fun j => f * a j)).
  2: { intros j Hj Bj. unfold levels. unfold without in Bj. destruct (block j), (anchor j); simpl in *; try discriminate.
       ring. }
  rewrite !mass_scal.
  assert (Q := anchors_outweigh w keys block anchor valid (exp x) H).
  rewrite (mass_split block a), (mass_part block anchor a) in T by apply valid.
  set (Pa := mass anchor a keys) in *. set (Pf := mass (without block anchor) a keys) in *.
  set (e := mass (outside block) a keys) in *.
  assert (Q' : r * (exp x * e) <= (n - m) * Pa).
  { unfold e, Pa, a. rewrite !attention_mass. apply (Rmult_le_reg_r (sum w keys)); auto.
    unfold Rdiv. rewrite !Rmult_assoc, Rinv_l by lra. lra. }
  destruct (row_counts _ _ _ valid) as (Hr & M & C & _). assert (E := exp_pos x).
  unfold f, free_level. rewrite exp_Ropp. set (ex := exp x) in *.
  assert (U : 0 < r * ex + (n - m)) by nra.
  replace (x * r / (r + (n - m) * / ex)) with (x * r * ex / (r * ex + (n - m))) by (field; nra).
  apply (Rmult_le_reg_r (r * ex + (n - m))); auto.
  replace ((x * Pa + x * r * ex / (r * ex + (n - m)) * Pf + 0) * (r * ex + (n - m)))
    with (x * (Pa * (r * ex + (n - m)) + r * ex * Pf)) by (field; lra).
  replace (x * r * ex / (r * ex + (n - m)) * (r * ex + (n - m))) with (x * (r * ex)) by (field; lra).
  apply Rmult_le_compat_l; auto. replace Pf with (1 - Pa - e) by lra. nra.
Qed.

Theorem entropy_ceiling s tau delta : 0 < tau -> margin s delta keys block anchor ->
  entropy (softmax s tau keys) keys <= Bound.entropy_ceiling (Rmax 0 (delta / tau)) n m r.
Proof.
  intros T H. assert (W : forall j, In j keys -> 0 < exp (s j / tau)) by (intros; apply exp_pos).
  destruct (Rle_lt_dec 0 (delta / tau)) as [X|X].
  - rewrite Rmax_right by auto. apply entropy_ceiling_weights; auto. apply softmax_margin; auto.
  - rewrite Rmax_left, ceiling_at_zero by lra. assert (N := row_nonempty keys block anchor valid).
    apply entropy_below_log_size; [intros; left; apply attention_pos; auto|apply attention_sum; auto].
Qed.

(* Anchors at the margin, outsiders at 0, free keys at x (1 - g): the maximum is attained, for every r. *)
Theorem entropy_ceiling_attained tau delta : 0 < tau ->
  let s := levels block anchor delta (tau * free_level (delta / tau) n m r) 0 in
  margin s delta keys block anchor /\
  entropy (softmax s tau keys) keys = Bound.entropy_ceiling (delta / tau) n m r.
Proof.
  intros T s. split; [apply levels_margin; auto; lra|].
  set (x := delta / tau). set (f := free_level x n m r).
  assert (E : forall j, exp (s j / tau) = levels block anchor (exp x) (exp f) 1 j).
  { intros j. unfold s, levels, x, f. destruct (block j), (anchor j).
    - auto.
    - f_equal. fold x. field. lra.
    - replace (0 / tau) with 0 by (field; lra). apply exp_0.
    - replace (0 / tau) with 0 by (field; lra). apply exp_0. }
  unfold softmax. assert (N := row_nonempty keys block anchor valid).
  rewrite entropy_attention by (auto; intros; apply exp_pos).
  rewrite (sum_ext _ (levels block anchor (exp x) (exp f) 1)) by (intros; apply E).
  rewrite (sum_ext (fun j => exp _ * _) (fun j => (fun y => y * ln y) (levels block anchor (exp x) (exp f) 1 j)))
    by (intros; rewrite E; auto).
  rewrite (sum_levels keys block anchor valid (fun y => y * ln y)), !ln_exp, ln_1.
  rewrite ceiling_is. fold f. f_equal. f_equal.
  assert (Z : 0 < sum (levels block anchor (exp x) (exp f) 1) keys).
  { apply total_pos; auto. intros; apply maximiser_pos. }
  apply (Rmult_eq_reg_r (sum (levels block anchor (exp x) (exp f) 1) keys)); [|lra].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  rewrite (sum_levels keys block anchor valid (fun y => y)).
  destruct (row_counts _ _ _ valid) as (Hr & M & C & _). assert (P := exp_pos x).
  replace (r * (exp x * x)) with ((r * exp x + (n - m)) * f); [ring|].
  unfold f, free_level. rewrite exp_Ropp. field. split; nra.
Qed.

(* No finite margin guarantees ln m. *)
Theorem entropy_ceiling_above_log_block x : 0 <= x -> ln m < Bound.entropy_ceiling x n m r.
Proof.
  intros X. destruct (row_counts _ _ _ valid) as (Hr & M & N & _). assert (E := exp_pos (- x)).
  assert (U : 0 < (n - m) * exp (- x)) by sign.
  unfold Bound.entropy_ceiling. apply ln_increasing; [lra|].
  assert (P : 1 <= exp (x * (n - m) * exp (- x) / (r + (n - m) * exp (- x)))); [|nra].
  rewrite <- exp_0. apply exp_le. sign.
Qed.
End Ceiling.

(* Monotone, as an exact maximum over fewer rows. *)
Section Monotone.
Context {A : Type}.
Variable keys : list A.

Lemma maximum block anchor x : row keys block anchor -> exists s, margin s x keys block anchor /\
  entropy (softmax s 1 keys) keys = Bound.entropy_ceiling x (size keys) (count block keys) (count anchor keys).
Proof.
  intros V. destruct (entropy_ceiling_attained keys block anchor V 1 x Rlt_0_1) as [H E].
  eexists. split; [exact H|]. rewrite E. f_equal. field.
Qed.

Lemma below_maximum block anchor s x : row keys block anchor -> 0 <= x -> margin s x keys block anchor ->
  entropy (softmax s 1 keys) keys <= Bound.entropy_ceiling x (size keys) (count block keys) (count anchor keys).
Proof.
  intros V X H. assert (B := entropy_ceiling keys block anchor V s 1 x Rlt_0_1 H).
  replace (x / 1) with x in B by field. rewrite Rmax_right in B; auto.
Qed.

Theorem entropy_ceiling_falls_with_margin block anchor x y : row keys block anchor -> 0 <= x -> x <= y ->
  Bound.entropy_ceiling y (size keys) (count block keys) (count anchor keys)
    <= Bound.entropy_ceiling x (size keys) (count block keys) (count anchor keys).
Proof.
  intros V X Y. destruct (maximum block anchor y V) as [s [H <-]]. apply below_maximum; auto.
  intros a o Ha Ho Aa Bo. specialize (H a o Ha Ho Aa Bo). lra.
Qed.

Theorem entropy_ceiling_falls_with_anchors block anchor more x : row keys block anchor -> row keys block more ->
  (forall j, In j keys -> anchor j = true -> more j = true) -> 0 <= x ->
  Bound.entropy_ceiling x (size keys) (count block keys) (count more keys)
    <= Bound.entropy_ceiling x (size keys) (count block keys) (count anchor keys).
Proof.
  intros V W I X. destruct (maximum block more x W) as [s [H <-]]. apply below_maximum; auto.
  intros a o Ha Ho Aa Bo. apply H; auto.
Qed.

Theorem entropy_ceiling_rises_with_block block larger anchor x : row keys block anchor -> row keys larger anchor ->
  (forall j, In j keys -> block j = true -> larger j = true) -> 0 <= x ->
  Bound.entropy_ceiling x (size keys) (count block keys) (count anchor keys)
    <= Bound.entropy_ceiling x (size keys) (count larger keys) (count anchor keys).
Proof.
  intros V W I X. destruct (maximum block anchor x V) as [s [H <-]]. apply below_maximum; auto.
  intros a o Ha Ho Aa Bo. apply H; auto. destruct (block o) eqn:E; auto. rewrite (I o Ho E) in Bo. discriminate.
Qed.
End Monotone.

Theorem entropy_ceiling_rises_with_keys x n n' m r : 0 <= x -> 0 < r -> r <= m -> m < n -> n <= n' ->
  Bound.entropy_ceiling x n m r <= Bound.entropy_ceiling x n' m r.
Proof.
  intros X Hr M N N'. unfold Bound.entropy_ceiling. assert (E := exp_pos (- x)).
  set (u := (n - m) * exp (- x)). set (u' := (n' - m) * exp (- x)).
  assert (U : 0 < u) by (unfold u; sign). assert (U' : u <= u') by (unfold u, u'; nra).
  replace (x * (n - m) * exp (- x) / (r + u)) with (x * (u / (r + u))) by (unfold u; field; fold u; lra).
  replace (x * (n' - m) * exp (- x) / (r + u')) with (x * (u' / (r + u'))) by (unfold u'; field; fold u'; lra).
  assert (G : u / (r + u) <= u' / (r + u')).
  { apply (Rmult_le_reg_r ((r + u) * (r + u'))); [nra|].
    replace (u / (r + u) * ((r + u) * (r + u'))) with (u * (r + u')) by (field; lra).
    replace (u' / (r + u') * ((r + u) * (r + u'))) with (u' * (r + u)) by (field; lra). nra. }
  assert (P := exp_pos (x * (u / (r + u)))).
  assert (Q : exp (x * (u / (r + u))) <= exp (x * (u' / (r + u')))) by (apply exp_le; nra).
  assert (1 <= exp (x * (u / (r + u)))) by (rewrite <- exp_0; apply exp_le; sign).
  apply ln_le; nra.
Qed.

(* The envelope: ln(1+v) <= v and x v/(1+v) <= x v. *)
Lemma ceiling_below_envelope x n m r : 0 <= x -> 0 < r -> r <= m -> m < n ->
  Bound.entropy_ceiling x n m r <= Bound.entropy_envelope x n m r.
Proof.
  intros X Hr M N. unfold Bound.entropy_ceiling, Bound.entropy_envelope. assert (E := exp_pos (- x)).
  set (u := (n - m) * exp (- x)). assert (U : 0 < u) by (unfold u; sign).
  replace (x * (n - m) * exp (- x)) with (x * u) by (unfold u; ring).
  replace ((n - m) * (x + 1) * exp (- x) / r) with (u / r + x * (u / r)) by (unfold u; field; lra).
  rewrite exp_plus. assert (V : 1 + u / r <= exp (u / r)) by apply exp_ineq1_le.
  assert (W : exp (x * u / (r + u)) <= exp (x * (u / r))).
  { apply exp_le. apply (Rmult_le_reg_r (r * (r + u))); [nra|].
    replace (x * u / (r + u) * (r * (r + u))) with (x * u * r) by (field; lra).
    replace (x * (u / r) * (r * (r + u))) with (x * u * (r + u)) by (field; lra). assert (0 <= x * u) by sign. nra. }
  assert (P := exp_pos (x * u / (r + u))).
  assert (1 <= exp (x * u / (r + u))) by (rewrite <- exp_0; apply exp_le; sign).
  apply ln_le; [nra|]. replace (r + u) with (r * (1 + u / r)) at 1 by (field; lra).
  assert (0 < 1 + u / r) by sign.
  assert ((1 + u / r) * exp (x * u / (r + u)) <= exp (u / r) * exp (x * (u / r))) by (apply Rmult_le_compat; lra).
  nra.
Qed.

Theorem entropy_envelope {A} (keys : list A) block anchor s tau delta : row keys block anchor ->
  0 < tau -> margin s delta keys block anchor ->
  entropy (softmax s tau keys) keys
    <= Bound.entropy_envelope (Rmax 0 (delta / tau)) (size keys) (count block keys) (count anchor keys).
Proof.
  intros V T H. apply Rle_trans with (1 := entropy_ceiling keys block anchor V s tau delta T H).
  destruct (row_counts _ _ _ V) as (Hr & M & N & _). apply ceiling_below_envelope; auto. apply Rmax_l.
Qed.

(* Where the whole block is anchors the envelope is linear: ln m + ((n-m)/m)(1+x) e^-x. *)
Theorem entropy_envelope_whole_block x n m : 0 < m ->
  Bound.entropy_envelope x n m m = ln m + (n - m) / m * (1 + x) * exp (- x).
Proof.
  intros M. unfold Bound.entropy_envelope. set (t := (n - m) * (x + 1) * exp (- x) / m).
  replace (m + m * exp t - m) with (m * exp t) by ring. rewrite ln_mult, ln_exp by (auto; apply exp_pos).
  unfold t. field. lra.
Qed.

Lemma envelope_below_repaired x n m c : 0 <= c < 1 -> 0 < m < n ->
  Bound.entropy_envelope x n m m <= Bound.repaired_envelope x n m c.
Proof.
  intros C M. rewrite entropy_envelope_whole_block by lra. unfold Bound.repaired_envelope.
  apply Rplus_le_compat_l.
  assert (K : (1 - c) * (1 + x) <= exp ((1 - c) * (1 + x) - 1)).
  { assert (K := exp_ineq1_le ((1 - c) * (1 + x) - 1)). lra. }
  replace ((n - m) * exp (- (c * (x + 1))) / (m * (1 - c))) with ((n - m) / m * (exp (- (c * (x + 1))) / (1 - c)))
    by (field; lra).
  rewrite Rmult_assoc. apply Rmult_le_compat_l; [left; sign|].
  apply (Rmult_le_reg_l (1 - c)); [lra|].
  replace ((1 - c) * (exp (- (c * (x + 1))) / (1 - c))) with (exp ((1 - c) * (1 + x) - 1) * exp (- x)).
  - assert (P := exp_pos (- x)). nra.
  - rewrite <- exp_plus. replace ((1 - c) * (1 + x) - 1 + - x) with (- (c * (x + 1))) by ring. field. lra.
Qed.

Theorem repaired_envelope {A} (keys : list A) block s tau delta c : row keys block block ->
  0 < tau -> 0 <= delta -> 0 <= c < 1 -> margin s delta keys block block ->
  entropy (softmax s tau keys) keys <= Bound.repaired_envelope (delta / tau) (size keys) (count block keys) c.
Proof.
  intros V T D C H. destruct (row_counts _ _ _ V) as (Hr & M & N & _).
  apply Rle_trans with (1 := entropy_envelope keys block block s tau delta V T H).
  rewrite Rmax_right by sign. apply envelope_below_repaired; lra.
Qed.

(* What the maximum is at least, the whole block anchors: ln m + (1+x) y/(1+y), y = (n-m) e^-x / m. *)
Lemma ceiling_above x n m : 0 <= x -> 0 < m < n ->
  let y := (n - m) / m * exp (- x) in ln m + (1 + x) * (y / (1 + y)) <= Bound.entropy_ceiling x n m m.
Proof.
  intros X M y. assert (E := exp_pos (- x)). assert (Y : 0 < y) by (unfold y; sign).
  unfold Bound.entropy_ceiling. replace ((n - m) * exp (- x)) with (m * y) by (unfold y; field; lra).
  replace (x * (n - m) * exp (- x)) with (x * (m * y)) by (unfold y; field; lra).
  replace (x * (m * y) / (m + m * y)) with (x * (y / (1 + y))) by (field; split; nra).
  set (t := x * (y / (1 + y))).
  replace (m + (m + m * y) * exp t - m) with (m * ((1 + y) * exp t)) by ring.
  assert (P := exp_pos t). rewrite !ln_mult, ln_exp by (try apply Rmult_lt_0_compat; lra).
  assert (L := ln_above (1 + y) ltac:(lra)). replace (1 - / (1 + y)) with (y / (1 + y)) in L by (field; lra).
  unfold t. lra.
Qed.

(* Two keys, one inside: no constant serves every margin. *)
Definition two : list nat := [0; 1]%nat.
Definition first (j : nat) : bool := Nat.eqb j 0.
Lemma two_row : row two first first.
Proof.
  split; [auto|exists 0%nat; simpl; auto|exists 1%nat; simpl; auto].
Qed.

Theorem refuted_a_pure_exponential : forall C : R, exists (x : R) (s : nat -> R),
  0 <= x /\ margin s x two first first /\
  ln (count first two) + C * ((size two - count first two) / count first two) * exp (- x)
    < entropy (softmax s 1 two) two.
Proof.
  intros C. set (x := 2 * Rmax 0 C + 1). assert (X : 0 <= C \/ C <= 0) by lra.
  assert (Hx : 0 <= x) by (unfold x; assert (K := Rmax_l 0 C); lra).
  destruct (entropy_ceiling_attained two first first two_row 1 x Rlt_0_1) as [H E].
  eexists x, _. split; [auto|]. split; [exact H|]. rewrite E. replace (x / 1) with x by field.
  assert (S : size two = 2) by (unfold size; simpl; ring). assert (M : count first two = 1) by (unfold count; simpl; ring).
  rewrite S, M. apply Rlt_le_trans with (2 := ceiling_above x 2 1 Hx ltac:(lra)). cbv zeta.
  replace ((2 - 1) / 1) with 1 by field. rewrite Rmult_1_l, Rmult_1_r.
  assert (P := exp_pos (- x)). assert (Q : exp (- x) <= 1) by (rewrite <- exp_0; apply exp_le; lra).
  apply Rplus_lt_compat_l. replace ((1 + x) * (exp (- x) / (1 + exp (- x)))) with ((1 + x) / (1 + exp (- x)) * exp (- x))
    by (field; lra).
  apply Rmult_lt_compat_r; auto. apply (Rmult_lt_reg_r (1 + exp (- x))); [lra|].
  replace ((1 + x) / (1 + exp (- x)) * (1 + exp (- x))) with (1 + x) by (field; lra).
  assert (K := Rmax_l 0 C). assert (K' := Rmax_r 0 C). unfold x in *. nra.
Qed.

(* The constant of the repaired family is the best: below it some row exceeds the bound, at x = c/(1-c). *)
Theorem repaired_envelope_best c K : 0 <= c < 1 -> K < exp (- c) / (1 - c) ->
  exists (keys : list nat) (block : nat -> bool) (x : R) (s : nat -> R),
  row keys block block /\ 0 <= x /\ margin s x keys block block /\
  ln (count block keys) + (size keys - count block keys) / count block keys * K * exp (- (c * x))
    < entropy (softmax s 1 keys) keys.
Proof.
  intros C HK. set (K0 := exp (- c) / (1 - c)) in *. assert (K0' : 0 < K0) by (unfold K0; sign).
  set (x := c / (1 - c)). assert (X : 0 <= x) by (unfold x; sign).
  (* so many keys in the block that K (1 + 1/m) < K0 *)
  destruct (Rle_lt_dec K 0) as [HK0|HK0].
  - exists two, first, x. destruct (entropy_ceiling_attained two first first two_row 1 x Rlt_0_1) as [H E].
    eexists. split; [exact two_row|]. split; [auto|]. split; [exact H|]. rewrite E.
    replace (x / 1) with x by field. destruct (row_counts _ _ _ two_row) as (Hr & M & N & _).
    apply Rle_lt_trans with (2 := entropy_ceiling_above_log_block two first first two_row x X).
    assert (0 <= (size two - count first two) / count first two * exp (- (c * x))) by (left; sign). nra.
  - destruct (nat_above (K / (K0 - K) + 1)) as [m Hm].
    assert (D : 0 < K / (K0 - K)) by (apply Rdiv_lt_0_compat; lra).
    assert (Hm0 : (0 < m)%nat) by (destruct m; [simpl in Hm; lra|lia]).
    set (keys := seq 0 (S m)). set (block := fun j => Nat.ltb j m).
    assert (Sz : size keys = INR m + 1) by (unfold size, keys; rewrite seq_length, S_INR; auto).
    assert (Ct : count block keys = INR m).
    { unfold count, keys. rewrite seq_S, filter_app, app_length. simpl.
      replace (filter block (seq 0 m)) with (seq 0 m).
      - rewrite seq_length. replace (block m) with false by (symmetry; apply Nat.ltb_irrefl). simpl. f_equal. lia.
      - symmetry. clear. assert (forall k, filter block (seq k (m - k)) = seq k (m - k)).
        { intros k. remember (m - k)%nat as d eqn:E. revert k E. induction d; intros k E; simpl; auto.
          assert (block k = true) as -> by (apply Nat.ltb_lt; lia). f_equal. apply IHd. lia. }
        specialize (H 0%nat). rewrite Nat.sub_0_r in H. exact H. }
    assert (V : row keys block block).
    { split; auto.
      - exists 0%nat. split; [apply in_seq; lia|apply Nat.ltb_lt; lia].
      - exists m. split; [apply in_seq; lia|apply Nat.ltb_irrefl]. }
    exists keys, block, x. destruct (entropy_ceiling_attained keys block block V 1 x Rlt_0_1) as [H E].
    eexists. split; [exact V|]. split; [auto|]. split; [exact H|]. rewrite E. replace (x / 1) with x by field.
    rewrite Sz, Ct. set (q := INR m) in *.
    assert (Q : 1 < q) by lra. assert (P := exp_pos (- x)).
    apply Rlt_le_trans with (2 := ceiling_above x (q + 1) q X ltac:(lra)). cbv zeta.
    replace ((q + 1 - q) / q) with (/ q) by (field; lra). apply Rplus_lt_compat_l.
    set (y := / q * exp (- x)). assert (Y : 0 < y) by (unfold y; sign).
    assert (Y1 : y <= / q).
    { unfold y. assert (exp (- x) <= 1) by (rewrite <- exp_0; apply exp_le; lra).
      assert (0 < / q) by sign. nra. }
    assert (Ex : (1 + x) * y = / q * (K0 * exp (- (c * x)))).
    { unfold y, K0. replace (1 + x) with (/ (1 - c)) by (unfold x; field; lra).
      replace (exp (- c) / (1 - c) * exp (- (c * x))) with (/ (1 - c) * exp (- x)); [ring|].
      replace (- x) with (- c + - (c * x)) by (unfold x; field; lra). rewrite exp_plus. field. lra. }
    replace ((1 + x) * (y / (1 + y))) with ((1 + x) * y / (1 + y)) by (field; lra). rewrite Ex.
    apply (Rmult_lt_reg_r (1 + y)); [lra|].
    replace (/ q * (K0 * exp (- (c * x))) / (1 + y) * (1 + y)) with (/ q * (K0 * exp (- (c * x)))) by (field; lra).
    assert (R1 := exp_pos (- (c * x))). assert (Iq : 0 < / q) by sign.
    assert (S : K * (1 + y) < K0).
    { assert (K * / q < K0 - K).
      { apply (Rmult_lt_reg_r q); [lra|]. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
        apply (Rmult_lt_reg_r (/ (K0 - K))); [apply Rinv_0_lt_compat; lra|].
        replace ((K0 - K) * q * / (K0 - K)) with q by (field; lra). unfold Rdiv in *. lra. }
      nra. }
    assert (W : 0 < / q * exp (- (c * x))) by sign.
    replace (/ q * K * exp (- (c * x)) * (1 + y)) with (/ q * exp (- (c * x)) * (K * (1 + y))) by ring.
    replace (/ q * (K0 * exp (- (c * x)))) with (/ q * exp (- (c * x)) * K0) by ring.
    apply Rmult_lt_compat_l; auto.
Qed.

(* From the leakage alone: h(eps) + (1-eps) ln m + eps ln(n-m), for any law on the keys. *)
Lemma part_below {A} S (p : A -> R) l : (forall j, In j l -> 0 <= p j) -> 0 < count S l ->
  mass S (fun j => - (p j * ln (p j))) l <= mass S p l * ln (count S l / mass S p l).
Proof.
  intros P C. destruct (mass_nonneg S p l ltac:(auto)) as [Q|Q].
  - assert (H := even_spread S p l (mass S p l) ltac:(auto) eq_refl Q C).
    rewrite ln_div in * by auto. lra.
  - rewrite <- Q. assert (Z := sum_zero (fun j => if S j then p j else 0) l). right. rewrite Rmult_0_l.
    apply sum_all_zero. intros j Hj. destruct (S j) eqn:E; auto.
    assert (p j = 0) as ->; [|ring].
    specialize (Z ltac:(intros k Hk; cbv beta; destruct (S k); [auto|lra]) (eq_sym Q) j Hj). cbv beta in Z. rewrite E in Z. auto.
Qed.

Theorem entropy_split {A} (p : A -> R) (keys : list A) block :
  (forall j, In j keys -> 0 <= p j) -> sum p keys = 1 -> 0 < count block keys < size keys ->
  entropy p keys <= Bound.entropy_split (size keys) (count block keys) (leakage p block keys).
Proof.
  intros P E C. rewrite (entropy_split_mass block). unfold Bound.entropy_split, leakage.
  assert (S := count_split block keys). assert (M := mass_split block p keys).
  assert (I := part_below block p keys P ltac:(lra)).
  assert (O := part_below (outside block) p keys P ltac:(lra)).
  replace (1 - mass (outside block) p keys) with (mass block p keys) by lra.
  replace (size keys - count block keys) with (count (outside block) keys) by lra. lra.
Qed.

(* Attained by every row that is constant inside and constant outside. *)
Theorem entropy_split_attained {A} (keys : list A) block x : row keys block block ->
  let a := softmax (levels block block x x 0) 1 keys in
  entropy a keys = Bound.entropy_split (size keys) (count block keys) (leakage a block keys).
Proof.
  intros V. cbv zeta. destruct (row_counts _ _ _ V) as (Hr & M & N & _).
  assert (Ne := row_nonempty keys block block V). assert (E := exp_pos x).
  rewrite entropy_softmax by auto.
  assert (Ex : forall j, exp (levels block block x x 0 j / 1) = exp (levels block block x x 0 j)).
  { intros j. f_equal. field. }
  unfold softmax at 1. rewrite (leakage_weights (fun j => exp (levels block block x x 0 j / 1)) keys block).
  rewrite (sum_levels keys block block V exp), (sum_levels keys block block V (fun y => exp y * y)).
  rewrite (mass_outside_levels keys block block V (fun y => exp (y / 1))).
  rewrite (mass_block_levels keys block block V (fun y => exp (y / 1))).
  replace (x / 1) with x by field. replace (0 / 1) with 0 by field. rewrite exp_0.
  set (n := size keys) in *. set (m := count block keys) in *. set (q := n - m).
  assert (Q : 0 < q) by (unfold q; lra). unfold Bound.entropy_split. fold q.
  set (Z := m * exp x + (m - m) * exp x + q * 1). assert (Zp : 0 < Z) by (unfold Z; nra).
  assert (Z1 : Z = m * exp x + q) by (unfold Z; ring).
  replace (1 - q * 1 / Z) with (m * exp x / Z) by (rewrite Z1; field; lra).
  replace (q / (q * 1 / Z)) with Z by (field; lra).
  replace (m / (m * exp x / Z)) with (Z * exp (- x)) by (rewrite exp_Ropp; field; lra).
  rewrite ln_mult, ln_exp by (auto; apply exp_pos).
  replace (m * (exp x * x) + (m - m) * (exp x * x) + q * (1 * 0)) with (m * exp x * x) by ring.
  set (L := ln Z). apply (Rmult_eq_reg_r Z); [|lra].
  replace ((L - m * exp x * x / Z) * Z) with (L * Z - m * exp x * x) by (field; lra).
  replace ((q * 1 / Z * L + m * exp x / Z * (L + - x)) * Z) with (L * (m * exp x + q) - m * exp x * x) by (field; lra).
  rewrite <- Z1. auto.
Qed.

(* The joint frontier: at leakage eps the anchors hold q = r e^x eps/(n-m) at least. Gibbs with an even spread over each
   of the three parts; past the point where the anchors' share exceeds the free keys', more on the anchors only costs. *)
Lemma frontier_binding n m r eps x : 0 < r -> m < n -> 0 < eps ->
  eps * r * exp x * ln ((n - m) * exp (- x) / eps) / (n - m) =
  - (r * exp x * eps / (n - m)) * ln (exp x * eps / (n - m)).
Proof.
  intros Hr M E. assert (P := exp_pos x).
  replace ((n - m) * exp (- x) / eps) with (/ (exp x * eps / (n - m))) by (rewrite exp_Ropp; field; lra).
  rewrite ln_Rinv by sign. field. lra.
Qed.

Theorem frontier {A} (keys : list A) block anchor s tau delta : row keys block anchor ->
  0 < tau -> margin s delta keys block anchor ->
  let a := softmax s tau keys in
  entropy a keys <= Bound.frontier (delta / tau) (size keys) (count block keys) (count anchor keys)
    (leakage a block keys).
Proof.
  intros V T H a. set (w := fun j => exp (s j / tau)). set (x := delta / tau).
  assert (W : forall j, In j keys -> 0 < w j) by (intros; apply exp_pos).
  assert (Ne := row_nonempty keys block anchor V). assert (Z := total_pos w keys W Ne).
  assert (Ap : forall j, In j keys -> 0 < a j) by (apply attention_pos; auto).
  assert (As : sum a keys = 1) by (apply attention_sum; auto).
  destruct (row_counts _ _ _ V) as (Hr & M & N & Fc & Oc).
  assert (Sp := entropy_split a keys block ltac:(intros; left; auto) As ltac:(lra)).
  unfold Bound.frontier, leakage in *. set (e := mass (outside block) a keys) in *.
  set (n := size keys) in *. set (m := count block keys) in *. set (r := count anchor keys) in *.
  destruct (Rle_dec (e * exp x / (n - m)) ((1 - e) / m)) as [L|L]; [exact Sp|]. clear Sp. apply Rnot_le_lt in L.
  assert (E0 : 0 < e).
  { apply mass_pos; auto. destruct V as [_ _ [o [Ho Bo]]]. exists o. unfold outside. rewrite Bo. auto. }
  assert (Q0 := anchors_outweigh w keys block anchor V (exp x) (softmax_margin s tau delta keys _ _ T H)).
  fold n m r in Q0.
  assert (Pt := mass_split block a keys). rewrite (mass_part block anchor a keys) in Pt by apply V.
  rewrite As in Pt. fold e in Pt.
  set (Pa := mass anchor a keys) in *. set (Pf := mass (without block anchor) a keys) in *.
  assert (Q1 : r * (exp x * e) <= (n - m) * Pa).
  { unfold e, Pa, a. change (softmax s tau keys) with (attention w keys). rewrite !attention_mass.
    apply (Rmult_le_reg_r (sum w keys)); auto. unfold Rdiv. rewrite !Rmult_assoc, Rinv_l by lra. lra. }
  set (h := e * exp x / (n - m)) in *. assert (Ex := exp_pos x). assert (Hh : 0 < h) by (unfold h; sign).
  assert (Q : r * h <= Pa).
  { apply (Rmult_le_reg_l (n - m)); [lra|]. replace ((n - m) * (r * h)) with (r * (exp x * e)) by (unfold h; field; lra).
    lra. }
  assert (L' : 1 - e < m * h).
  { apply (Rmult_lt_compat_l m) in L; [|lra]. replace (m * ((1 - e) / m)) with (1 - e) in L by (field; lra). lra. }
  rewrite frontier_binding by lra.
  replace (exp x * e / (n - m)) with h by (unfold h; field; lra).
  replace (r * exp x * e / (n - m)) with (r * h) by (unfold h; field; lra).
  replace (1 - e * r * exp x / (n - m) - e) with (1 - r * h - e) by (unfold h; field; lra).
  (* there are free keys, and their mass f is positive *)
  assert (Pf1 : 0 <= Pf) by (apply mass_nonneg; intros; left; auto).
  assert (Mr : r < m) by (apply (Rmult_lt_reg_r h); lra).
  assert (Pf0 : 0 < Pf).
  { apply mass_pos; auto. destruct (filter (without block anchor) keys) as [|k l] eqn:E.
    - exfalso. unfold count in Fc at 1. rewrite E in Fc. simpl in Fc. fold m r in Fc. lra.
    - exists k. apply filter_In. rewrite E. simpl. auto. }
  set (f := 1 - r * h - e). assert (F0 : 0 < f) by (unfold f; lra).
  (* Gibbs, part by part *)
  rewrite (entropy_split_mass block), (mass_part block anchor) by apply V.
  assert (O := part_below (outside block) a keys ltac:(intros; left; auto) ltac:(lra)). fold e in O.
  assert (G1 : mass anchor (fun j => - (a j * ln (a j))) keys <= (r * h - Pa) - Pa * ln h).
  { apply Rle_trans with (mass anchor (fun j => h + - (1 + ln h) * a j) keys).
    - apply mass_le. intros j Hj _. assert (G := gibbs_term (a j) h ltac:(left; auto) Hh). lra.
    - rewrite mass_plus, mass_const, mass_scal. fold Pa r. lra. }
  set (c := f / (m - r)). assert (C0 : 0 < c) by (unfold c; sign).
  assert (G2 : mass (without block anchor) (fun j => - (a j * ln (a j))) keys <= (f - Pf) - Pf * ln c).
  { apply Rle_trans with (mass (without block anchor) (fun j => c + - (1 + ln c) * a j) keys).
    - apply mass_le. intros j Hj _. assert (G := gibbs_term (a j) c ltac:(left; auto) C0). lra.
    - rewrite mass_plus, mass_const, mass_scal. fold Pf. rewrite Fc. fold m r.
      replace ((m - r) * c) with f by (unfold c; field; lra). lra. }
  assert (O' : mass (outside block) (fun j => - (a j * ln (a j))) keys <= e * ln ((n - m) / e)).
  { rewrite Oc in O. exact O. }
  replace ((m - r) / f) with (/ c) by (unfold c; field; lra). rewrite ln_Rinv by auto.
  assert (Ch : c <= h).
  { apply (Rmult_le_reg_l (m - r)); [lra|]. replace ((m - r) * c) with f by (unfold c; field; lra). unfold f. lra. }
  assert (Lch := ln_le c h C0 Ch).
  assert (K : (Pa - r * h) * ln c <= (Pa - r * h) * ln h) by (apply Rmult_le_compat_l; lra).
  assert (Pf = f - (Pa - r * h)) by (unfold f; lra). nra.
Qed.

(* Attained by every row on three levels whose free keys lie below its anchors. *)
Theorem frontier_attained {A} (keys : list A) block anchor x f : row keys block anchor ->
  count anchor keys < count block keys -> f < x ->
  let s := levels block anchor x f 0 in let a := softmax s 1 keys in
  margin s x keys block anchor /\
  entropy a keys = Bound.frontier x (size keys) (count block keys) (count anchor keys) (leakage a block keys).
Proof.
  intros V RM F s a. split; [apply levels_margin; auto; lra|].
  destruct (row_counts _ _ _ V) as (Hr & M & N & _). assert (Ne := row_nonempty keys block anchor V).
  assert (Ex := exp_pos x). assert (Ef := exp_pos f). assert (Exf := exp_increasing f x F).
  unfold a, s. rewrite entropy_softmax by auto. unfold softmax.
  rewrite (leakage_weights (fun j => exp (levels block anchor x f 0 j / 1)) keys block).
  rewrite (sum_levels keys block anchor V exp), (sum_levels keys block anchor V (fun y => exp y * y)).
  rewrite (mass_outside_levels keys block anchor V (fun y => exp (y / 1))).
  rewrite (mass_block_levels keys block anchor V (fun y => exp (y / 1))).
  replace (x / 1) with x by field. replace (f / 1) with f by field. replace (0 / 1) with 0 by field. rewrite exp_0.
  set (n := size keys) in *. set (m := count block keys) in *. set (r := count anchor keys) in *.
  set (q := n - m). assert (Q : 0 < q) by (unfold q; lra). rewrite Rmult_0_r, Rmult_0_r, Rmult_1_r, Rplus_0_r.
  set (Z := r * exp x + (m - r) * exp f + q). assert (Zp : 0 < Z) by (unfold Z; nra).
  assert (E0 : 0 < q / Z) by sign.
  unfold Bound.frontier. fold q.
  replace (q / Z * exp x / q) with (exp x / Z) by (field; lra).
  destruct (Rle_dec (exp x / Z) ((1 - q / Z) / m)) as [L|_].
  - exfalso. apply (Rmult_le_compat_r (m * Z)) in L; [|nra].
    replace (exp x / Z * (m * Z)) with (m * exp x) in L by (field; lra).
    replace ((1 - q / Z) / m * (m * Z)) with (Z - q) in L by (field; lra). unfold Z in L. nra.
  - replace (1 - q / Z * r * exp x / q - q / Z) with ((m - r) * exp f / Z) by (unfold Z; field; fold Z; lra).
    replace ((m - r) / ((m - r) * exp f / Z)) with (Z * exp (- f)) by (rewrite exp_Ropp; field; lra).
    replace (q * exp (- x) / (q / Z)) with (Z * exp (- x)) by (field; lra).
    replace (q / (q / Z)) with Z by (field; lra).
    rewrite !ln_mult, !ln_exp by (auto; apply exp_pos). set (L := ln Z).
    apply (Rmult_eq_reg_r Z); [|lra].
    replace ((L - (r * (exp x * x) + (m - r) * (exp f * f)) / Z) * Z)
      with (L * Z - (r * (exp x * x) + (m - r) * (exp f * f))) by (field; lra).
    replace ((q / Z * r * exp x * (L + - x) / q + q / Z * L + (m - r) * exp f / Z * (L + - f)) * Z)
      with (L * (r * exp x + (m - r) * exp f + q) - (r * (exp x * x) + (m - r) * (exp f * f))) by (field; lra).
    auto.
Qed.

(* The envelope cannot be shrunk by any factor: one key of two, as the margin grows. *)
Theorem entropy_envelope_sharp K : K < 1 -> exists x s, 0 <= x /\ margin s x two first first /\
  K * Bound.entropy_envelope x (size two) (count first two) (count first two) < entropy (softmax s 1 two) two.
Proof.
  intros HK. set (K0 := Rmax K 0). assert (HK0 : 0 <= K0 < 1) by (unfold K0, Rmax; destruct (Rle_dec K 0); lra).
  (* K0 (1 + e^-x) < 1 *)
  set (x := Rmax 0 (- ln ((1 - K0) / 2))). assert (X : 0 <= x) by apply Rmax_l.
  assert (P := exp_pos (- x)). assert (Y : exp (- x) <= (1 - K0) / 2).
  { rewrite <- (exp_ln ((1 - K0) / 2)) by lra. apply exp_le. assert (Q := Rmax_r 0 (- ln ((1 - K0) / 2))).
    unfold x. lra. }
  destruct (maximum two first first x two_row) as [s [H E]]. exists x, s. split; [auto|]. split; [exact H|]. rewrite E.
  assert (S : size two = 2) by (unfold size; simpl; ring). assert (M : count first two = 1) by (unfold count; simpl; ring).
  rewrite S, M. apply Rlt_le_trans with (2 := ceiling_above x 2 1 X ltac:(lra)). cbv zeta.
  rewrite entropy_envelope_whole_block by lra. rewrite ln_1. replace ((2 - 1) / 1) with 1 by field. rewrite !Rmult_1_l.
  replace ((1 + x) * (exp (- x) / (1 + exp (- x)))) with ((1 + x) * exp (- x) / (1 + exp (- x))) by (field; lra).
  set (g := (1 + x) * exp (- x)). assert (G : 0 < g) by (unfold g; sign).
  fold g. rewrite !Rplus_0_l.
  apply Rle_lt_trans with (K0 * g); [apply Rmult_le_compat_r; [lra|apply Rmax_l]|].
  apply (Rmult_lt_reg_r (1 + exp (- x))); [lra|].
  replace (g / (1 + exp (- x)) * (1 + exp (- x))) with g by (field; lra).
  assert (L : K0 * exp (- x) <= 1 * ((1 - K0) / 2)) by (apply Rmult_le_compat; lra).
  replace (K0 * g * (1 + exp (- x))) with (g * (K0 + K0 * exp (- x))) by ring.
  rewrite <- (Rmult_1_r g) at 2. apply Rmult_lt_compat_l; lra.
Qed.

Example entropy_ceiling_instance : entropy (softmax two_high (1 / 2) five) five <= Bound.entropy_ceiling 4 5 3 2.
Proof.
  assert (H := entropy_ceiling five first_three first_two five_row two_high (1 / 2) 2 ltac:(lra) five_margin).
  rewrite half_scaled, Rmax_right in H by lra. counted H.
Qed.

Example entropy_envelope_instance : entropy (softmax two_high (1 / 2) five) five <= Bound.entropy_envelope 4 5 3 2.
Proof.
  assert (H := entropy_envelope five first_three first_two two_high (1 / 2) 2 five_row ltac:(lra) five_margin).
  rewrite half_scaled, Rmax_right in H by lra. counted H.
Qed.

Lemma five_row_two : row five first_two first_two.
Proof. split; auto; [exists 0%nat|exists 4%nat]; simpl; auto 10. Qed.
Lemma five_margin_two : margin two_high 2 five first_two first_two.
Proof. intros [|[|a]] [|[|o]] _ _ H K; unfold two_high, first_two in *; simpl in *; try discriminate; lra. Qed.

Example repaired_envelope_instance :
  entropy (softmax two_high (1 / 2) five) five <= Bound.repaired_envelope 4 5 2 (1 / 2).
Proof.
  assert (H := repaired_envelope five first_two two_high (1 / 2) 2 (1 / 2) five_row_two ltac:(lra) ltac:(lra)
    ltac:(lra) five_margin_two). counted H.
Qed.

Example entropy_split_instance :
  entropy (fun _ => 1 / 5) five <= Bound.entropy_split 5 3 (2 / 5).
Proof.
  assert (H := entropy_split (fun _ => 1 / 5) five first_three ltac:(intros; lra)).
  rewrite sum_const in H. unfold leakage in H. rewrite mass_const in H.
  assert (O := count_split first_three five). rewrite five_size, five_block in *.
  replace (count (outside first_three) five * (1 / 5)) with (2 / 5) in H by lra. apply H; lra.
Qed.

Example frontier_instance : let a := softmax two_high (1 / 2) five in
  entropy a five <= Bound.frontier 4 5 3 2 (leakage a first_three five).
Proof.
  assert (H := frontier five first_three first_two two_high (1 / 2) 2 five_row ltac:(lra) five_margin). counted H.
Qed.

(* The forms that run are the expressions. *)
Theorem entropy_ceiling_form x n m r : 0 < r -> r <= m -> m < n ->
  Form.entropy_ceiling x n m r = Bound.entropy_ceiling (Rmax 0 x) n m r.
Proof.
  intros Hr M N. unfold Form.entropy_ceiling, Bound.entropy_ceiling. set (y := Rmax 0 x).
  assert (Y : 0 <= y) by apply Rmax_l. assert (E := exp_pos (- y)). set (u := (n - m) * exp (- y)).
  assert (U : 0 < u) by (unfold u; sign).
  replace (u * y / (r + u)) with (y * u / (r + u)) by (field; lra).
  replace (y * (n - m) * exp (- y) / (r + u)) with (y * u / (r + u)) by (unfold u; field; fold u; lra).
  set (g := exp (y * u / (r + u))). assert (G : 1 <= g) by (unfold g; rewrite <- exp_0; apply exp_le; sign).
  replace (r * (g - 1) + (n - m) * g * exp (- y)) with (r * (g - 1) + u * g) by (unfold u; ring).
  rewrite <- ln_mult; [apply (f_equal ln); field; lra|lra|].
  assert (0 <= (r * (g - 1) + u * g) / m) by (apply Rmult_le_pos; [nra|left; sign]). lra.
Qed.

Theorem entropy_envelope_form x n m r : 0 < r -> r <= m -> m < n -> Rmax 0 x <= 10000 ->
  Form.entropy_envelope x n m r = Bound.entropy_envelope (Rmax 0 x) n m r.
Proof.
  intros Hr M N C. unfold Form.entropy_envelope, Bound.entropy_envelope. rewrite Rmin_right by auto.
  set (y := Rmax 0 x) in *. set (t := (n - m) * (y + 1) * exp (- y) / r). assert (E := exp_pos t). assert (E' := exp_pos (- t)).
  rewrite <- (ln_exp t) at 2. rewrite <- ln_mult by nra. apply (f_equal ln). rewrite Rmult_plus_distr_r, Rmult_assoc, <- exp_plus.
  rewrite Rplus_opp_l, exp_0. ring.
Qed.

Theorem repaired_envelope_form x n m c : 0 <= x -> Form.repaired_envelope x n m c = Bound.repaired_envelope x n m c.
Proof. intros X. unfold Form.repaired_envelope, Bound.repaired_envelope. rewrite Rmax_right by auto. auto. Qed.

Theorem entropy_split_form eps n m : 0 < eps < 1 -> 0 < m < n ->
  Form.entropy_split eps (1 - eps) n m = Bound.entropy_split n m eps.
Proof.
  intros E M. unfold Form.entropy_split, Bound.entropy_split.
  replace (1 + - eps) with (1 - eps) by ring. replace (1 + - (1 - eps)) with eps by ring.
  destruct (Rlt_dec 0 (1 - eps)); [|lra]. destruct (Rlt_dec 0 eps); [|lra].
  rewrite !ln_div by lra. destruct (Rle_dec eps (1 / 2)); ring.
Qed.
