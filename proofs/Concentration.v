(* Concentration: a margin forces attention into the block (claims C3, C5). Mirrors bounds/concentration/theorems.

   Every anchor is at least e^x times every key outside, so r e^x W_out <= (n-m) W_anchors <= (n-m) W_in by summing
   over pairs, and leakage W_out/(W_in + W_out) is at most (n-m)/((n-m) + r e^x). No largest weight is needed. *)

Require Import Reals Lra Psatz List Bool.
From Localist Require Import ClosedForms Sums Attention.
Import ListNotations.
Open Scope R_scope.

Lemma rmax_exp x : exp (Rmax 0 x) = Rmax 1 (exp x).
Proof.
  destruct (Rle_lt_dec 0 x) as [H|H].
  - rewrite !Rmax_right; auto. rewrite <- exp_0. apply exp_le, H.
  - rewrite !Rmax_left, exp_0; auto; [|lra]. rewrite <- exp_0. apply exp_le. lra.
Qed.

Section Weights.
Context {A : Type}.
Variables (w : A -> R) (keys : list A) (block anchor : A -> bool).
Hypothesis valid : row keys block anchor.
Hypothesis positive : forall j, In j keys -> 0 < w j.
Local Notation n := (size keys).
Local Notation m := (count block keys).
Local Notation r := (count anchor keys).
Local Notation inside := (mass block w keys).
Local Notation out := (mass (outside block) w keys).

Lemma inside_pos : 0 < inside.
Proof.
  apply mass_pos; auto. destruct valid as [I [a [Ha Aa]] _]. exists a. auto.
Qed.
Lemma out_pos : 0 < out.
Proof.
  apply mass_pos; auto. destruct valid as [_ _ [o [Ho Bo]]]. exists o. unfold outside. rewrite Bo. auto.
Qed.

Lemma leakage_weights : leakage (attention w keys) block keys = out / (inside + out).
Proof. unfold leakage. rewrite attention_mass, (mass_split block w). auto. Qed.

(* Odds into shares. *)
Lemma leakage_at_most q c : 0 < q -> 0 <= c -> c * out <= q * inside ->
  leakage (attention w keys) block keys <= q / (q + c).
Proof.
  intros Q C H. rewrite leakage_weights. assert (P := inside_pos). assert (O := out_pos).
  apply (Rmult_le_reg_r ((inside + out) * (q + c))); [nra|].
  replace (out / (inside + out) * ((inside + out) * (q + c))) with (out * (q + c)) by (field; lra).
  replace (q / (q + c) * ((inside + out) * (q + c))) with (q * (inside + out)) by (field; lra). lra.
Qed.

Lemma fidelity_at_most q c : 0 < q -> 0 <= c -> c * inside <= q * out ->
  fidelity (attention w keys) block keys <= q / (q + c).
Proof.
  intros Q C H. rewrite fidelity_leakage, leakage_weights; auto.
  2: exact (row_nonempty keys block anchor valid).
  assert (P := inside_pos). assert (O := out_pos).
  replace (1 - out / (inside + out)) with (inside / (inside + out)) by (field; lra).
  apply (Rmult_le_reg_r ((inside + out) * (q + c))); [nra|].
  replace (inside / (inside + out) * ((inside + out) * (q + c))) with (inside * (q + c)) by (field; lra).
  replace (q / (q + c) * ((inside + out) * (q + c))) with (q * (inside + out)) by (field; lra). lra.
Qed.

Lemma anchors_outweigh ratio : weight_margin w ratio keys block anchor ->
  r * (ratio * out) <= (n - m) * mass anchor w keys.
Proof.
  intros H. destruct (row_counts _ _ _ valid) as (_ & _ & _ & _ & E).
  rewrite <- E, <- mass_scal. apply mass_pairs. intros a o Ha Ho Aa Bo. apply H; auto.
  unfold outside in Bo. destruct (block o); auto; discriminate.
Qed.

Lemma anchors_below_inside : mass anchor w keys + mass (without block anchor) w keys = inside.
Proof. symmetry. apply mass_part, valid. Qed.

Lemma free_nonneg : 0 <= mass (without block anchor) w keys.
Proof. apply mass_nonneg. intros. left. auto. Qed.

Lemma inside_outweighs ratio : weight_margin w ratio keys block anchor -> r * ratio * out <= (n - m) * inside.
Proof.
  intros H. assert (P := anchors_outweigh ratio H). assert (Q := anchors_below_inside).
  assert (F := free_nonneg). destruct (row_counts _ _ _ valid) as (_ & _ & C & _). nra.
Qed.

(* With the range too, free keys cannot be too light. *)
Lemma free_outweigh x D :
  weight_margin w (exp x) keys block anchor -> weight_within w (exp D) keys ->
  (m - r) * (exp (Rmax 0 x - D) * out) <= (n - m) * mass (without block anchor) w keys.
Proof.
  intros H K. destruct (row_counts _ _ _ valid) as (_ & _ & _ & E & E').
  rewrite <- E, <- E', <- mass_scal. apply mass_pairs. intros f o Hf Ho _ Bo.
  assert (B : block o = false) by (unfold outside in Bo; destruct (block o); auto; discriminate).
  unfold Rminus. rewrite exp_plus, exp_Ropp, rmax_exp.
  assert (P := exp_pos D). apply (Rmult_le_reg_l (exp D)); auto.
  replace (exp D * (Rmax 1 (exp x) * / exp D * w o)) with (Rmax 1 (exp x) * w o) by (field; lra).
  destruct valid as [_ [a [Ha Aa]] _].
  unfold Rmax. destruct (Rle_dec 1 (exp x)).
  - apply Rle_trans with (w a); [apply H|apply K]; auto.
  - rewrite Rmult_1_l. apply K; auto.
Qed.
End Weights.

Section Softmax.
Context {A : Type}.
Variables (s : A -> R) (tau : R) (keys : list A) (block anchor : A -> bool).
Hypothesis valid : row keys block anchor.
Hypothesis tau_pos : 0 < tau.
Local Notation n := (size keys).
Local Notation m := (count block keys).
Local Notation r := (count anchor keys).
Local Notation a := (softmax s tau keys).

Theorem leakage_ceiling delta : margin s delta keys block anchor ->
  leakage a block keys <= Bound.leakage_ceiling (delta / tau) n m r.
Proof.
  intros H. destruct (row_counts _ _ _ valid) as (Hr & _ & C & _). assert (E := exp_pos (delta / tau)).
  unfold Bound.leakage_ceiling. rewrite exp_Ropp.
  replace ((n - m) * / exp (delta / tau) / (r + (n - m) * / exp (delta / tau)))
    with ((n - m) / ((n - m) + r * exp (delta / tau))) by (field; split; nra).
  apply leakage_at_most with anchor; auto; [intros; apply exp_pos|lra|nra|].
  apply inside_outweighs; auto; [intros; apply exp_pos|apply softmax_margin; auto].
Qed.

Theorem leakage_ceiling_range delta range :
  margin s delta keys block anchor -> within s range keys ->
  leakage a block keys <= Bound.leakage_ceiling_range (delta / tau) (range / tau) n m r.
Proof.
  intros H K. destruct (row_counts _ _ _ valid) as (Hr & M & C & _).
  assert (E := exp_pos (delta / tau)). assert (E' := exp_pos (Rmax 0 (delta / tau) - range / tau)).
  unfold Bound.leakage_ceiling_range. set (c := r * exp (delta / tau) + (m - r) * exp (Rmax 0 (delta / tau) - range / tau)).
  replace (n + r * exp (delta / tau) + (m - r) * exp (Rmax 0 (delta / tau) - range / tau) - m) with ((n - m) + c) by (unfold c; ring).
  set (w := fun j => exp (s j / tau)). change a with (attention w keys).
  assert (P : forall j, In j keys -> 0 < w j) by (intros; apply exp_pos).
  apply leakage_at_most with anchor; auto; [lra|unfold c; nra|].
  assert (Q := anchors_outweigh w keys block anchor valid _ (softmax_margin s tau delta keys _ _ tau_pos H)).
  assert (F := free_outweigh w keys block anchor valid (delta / tau) (range / tau)
    (softmax_margin s tau delta keys _ _ tau_pos H) (softmax_within s tau range keys tau_pos K)).
  rewrite <- (anchors_below_inside w keys block anchor valid). unfold c. lra.
Qed.

Theorem fidelity_floor delta : margin s delta keys block anchor ->
  fidelity a block keys >= Bound.fidelity_floor (delta / tau) n m r.
Proof.
  intros H. unfold softmax. rewrite fidelity_leakage;
    [|intros; apply exp_pos|exact (row_nonempty keys block anchor valid)].
  assert (L := leakage_ceiling delta H). destruct (row_counts _ _ _ valid) as (Hr & _ & C & _).
  assert (E := exp_pos (- (delta / tau))). unfold Bound.fidelity_floor. unfold Bound.leakage_ceiling in L.
  replace (r / (r + (n - m) * exp (- (delta / tau)))) with
    (1 - (n - m) * exp (- (delta / tau)) / (r + (n - m) * exp (- (delta / tau)))) by (field; nra).
  apply Rle_ge, Rplus_le_compat_l, Ropp_le_contravar, L.
Qed.
End Softmax.

(* The ceiling with the range is attained for every r: anchors at the margin, outsiders at 0, free keys as low as the
   range lets them be. *)
Theorem leakage_ceiling_range_attained {A} (keys : list A) block anchor tau delta range :
  row keys block anchor -> 0 < tau -> Rmax 0 delta <= range -> - delta <= range ->
  let s := levels block anchor delta (Rmax 0 delta - range) 0 in
  margin s delta keys block anchor /\ within s range keys /\
  leakage (softmax s tau keys) block keys =
    Bound.leakage_ceiling_range (delta / tau) (range / tau) (size keys) (count block keys) (count anchor keys).
Proof.
  intros V T D D' s. split; [apply levels_margin; auto; lra|]. split.
  - intros j k _ _. unfold s, levels. unfold Rmax in *.
    destruct (Rle_dec 0 delta), (block j), (anchor j), (block k), (anchor k); lra.
  - destruct (row_counts _ _ _ V) as (Hr & M & C & _). unfold softmax.
    rewrite (leakage_weights (fun j => exp (s j / tau))).
    unfold s. rewrite (mass_outside_levels keys block anchor V (fun v => exp (v / tau))).
    rewrite (mass_block_levels keys block anchor V (fun v => exp (v / tau))).
    unfold Bound.leakage_ceiling_range. replace (0 / tau) with 0 by (field; lra). rewrite exp_0.
    assert (X : (Rmax 0 delta - range) / tau = Rmax 0 (delta / tau) - range / tau).
    { unfold Rmax. assert (0 < / tau) by (apply Rinv_0_lt_compat, T).
      destruct (Rle_dec 0 delta), (Rle_dec 0 (delta / tau)); unfold Rdiv in *; try ring; exfalso; nra. }
    rewrite X. assert (E := exp_pos (delta / tau)). assert (E' := exp_pos (Rmax 0 (delta / tau) - range / tau)).
    field. repeat split; nra.
Qed.

(* Without a range it is the supremum: no smaller constant will do, whatever the counts. *)
Theorem leakage_ceiling_sharp {A} (keys : list A) block anchor tau delta e :
  row keys block anchor -> 0 < tau -> 0 < e ->
  exists s, margin s delta keys block anchor /\
  Bound.leakage_ceiling (delta / tau) (size keys) (count block keys) (count anchor keys) - e
    < leakage (softmax s tau keys) block keys.
Proof.
  intros V T He. destruct (row_counts _ _ _ V) as (Hr & M & C & _).
  set (n := size keys) in *. set (m := count block keys) in *. set (r := count anchor keys) in *.
  set (q := n - m). set (c := r * exp (delta / tau)). assert (E := exp_pos (delta / tau)).
  assert (Q : 0 < q) by (unfold q; lra). assert (C' : 0 < c) by (unfold c; nra).
  set (low := e * (q + c) / (m - r + 1)).
  assert (L : 0 < low) by (apply Rdiv_lt_0_compat; nra).
  exists (levels block anchor delta (tau * ln low) 0). split; [apply levels_margin; auto; lra|].
  unfold softmax. rewrite (leakage_weights (fun j => exp (levels block anchor delta (tau * ln low) 0 j / tau))).
  rewrite (mass_outside_levels keys block anchor V (fun v => exp (v / tau))).
  rewrite (mass_block_levels keys block anchor V (fun v => exp (v / tau))).
  fold n m r. replace (tau * ln low / tau) with (ln low) by (field; lra).
  rewrite exp_ln by auto. replace (0 / tau) with 0 by (field; lra). rewrite exp_0.
  fold c q. set (t := (m - r) * low).
  assert (T0 : 0 <= t) by (unfold t; nra).
  assert (T1 : t < e * (q + c)).
  { replace (e * (q + c)) with ((m - r + 1) * low) by (unfold low; field; lra). unfold t. lra. }
  assert (B : Bound.leakage_ceiling (delta / tau) n m r = q / (q + c)).
  { unfold Bound.leakage_ceiling, q, c. rewrite exp_Ropp. field. repeat split; nra. }
  rewrite B. replace (q * 1) with q by ring.
  assert (G : q / (q + c) - q / (c + t + q) = q * t / ((q + c) * (c + t + q))) by (field; lra).
  assert (q * t / ((q + c) * (c + t + q)) < e); [|lra].
  apply (Rmult_lt_reg_r ((q + c) * (c + t + q))); [nra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by nra.
  apply Rle_lt_trans with (t * (c + t + q)); [nra|].
  apply Rlt_le_trans with (e * (q + c) * (c + t + q)); [|nra]. apply Rmult_lt_compat_r; lra.
Qed.

(* The floor is attained where the whole block is anchors. *)
Theorem fidelity_floor_attained {A} (keys : list A) block tau delta :
  row keys block block -> 0 < tau ->
  let s := levels block block delta delta 0 in
  margin s delta keys block block /\
  fidelity (softmax s tau keys) block keys =
    Bound.fidelity_floor (delta / tau) (size keys) (count block keys) (count block keys).
Proof.
  intros V T s. split; [apply levels_margin; auto; lra|].
  destruct (row_counts _ _ _ V) as (Hr & M & C & _). unfold softmax.
  rewrite fidelity_leakage, leakage_weights; [|intros; apply exp_pos|exact (row_nonempty keys block block V)].
  unfold s. rewrite (mass_outside_levels keys block block V (fun v => exp (v / tau))).
  rewrite (mass_block_levels keys block block V (fun v => exp (v / tau))).
  unfold Bound.fidelity_floor. replace (0 / tau) with 0 by (field; lra). rewrite exp_0, exp_Ropp.
  assert (E := exp_pos (delta / tau)). field. repeat split; nra.
Qed.

(* The forms that run are the expressions. *)
Lemma exp_min x : exp (Rmin 0 x) = exp x * exp (- Rmax 0 x).
Proof.
  rewrite <- exp_plus. f_equal. unfold Rmin, Rmax. destruct (Rle_dec 0 x); lra.
Qed.

Ltac by_powers x :=
  rewrite exp_min, exp_Ropp, (exp_Ropp x); assert (E := exp_pos x); assert (E' := exp_pos (Rmax 0 x));
  field; repeat split; nra.

Theorem leakage_ceiling_form x n m r : 0 < r -> m < n ->
  Form.leakage_ceiling x n m r = Bound.leakage_ceiling x n m r.
Proof.
  intros Hr M. unfold Form.leakage_ceiling, Bound.leakage_ceiling. by_powers x.
Qed.

Theorem fidelity_floor_form x n m r : 0 < r -> m < n ->
  Form.fidelity_floor x n m r = Bound.fidelity_floor x n m r.
Proof.
  intros Hr M. unfold Form.fidelity_floor, Bound.fidelity_floor. by_powers x.
Qed.

Theorem leakage_ceiling_range_form x n m r D : 0 < r -> r <= m -> m < n ->
  Form.leakage_ceiling_range x n m r D = Bound.leakage_ceiling_range x D n m r.
Proof.
  intros Hr M N. unfold Form.leakage_ceiling_range, Bound.leakage_ceiling_range. unfold Rminus at 7.
  rewrite exp_min, exp_plus, !exp_Ropp.
  assert (E := exp_pos x). assert (E' := exp_pos (Rmax 0 x)). assert (E'' := exp_pos D).
  assert (P : 0 < (n - m) * exp D) by sign. assert (Q : 0 < r * exp x * exp D) by sign.
  assert (S : 0 <= (m - r) * exp (Rmax 0 x)) by sign. field. repeat split; nra.
Qed.

(* A concrete row: five keys, a block of three, two anchors at 2, the others at 0, temperature 1/2. *)
Definition five : list nat := seq 0 5.
Definition first_two (j : nat) : bool := Nat.ltb j 2.
Definition first_three (j : nat) : bool := Nat.ltb j 3.
Definition two_high (j : nat) : R := if first_two j then 2 else 0.

Lemma five_row : row five first_three first_two.
Proof.
  split.
  - intros [|[|[|[|[|j]]]]]; simpl; intros; auto; discriminate.
  - exists 0%nat. simpl. auto.
  - exists 4%nat. simpl. auto 10.
Qed.
Lemma five_margin : margin two_high 2 five first_three first_two.
Proof. intros [|[|a]] [|[|[|o]]] _ _ H K; unfold two_high, first_two in *; simpl in *; try discriminate; lra. Qed.
Lemma five_within : within two_high 2 five.
Proof. intros [|[|j]] [|[|k]] _ _; unfold two_high; simpl; lra. Qed.

Lemma five_size : size five = 5.
Proof. unfold size. simpl. ring. Qed.
Lemma five_block : count first_three five = 3.
Proof. unfold count. simpl. ring. Qed.
Lemma five_anchors : count first_two five = 2.
Proof. unfold count. simpl. ring. Qed.
Lemma half_scaled : 2 / (1 / 2) = 4.
Proof. field. Qed.
Ltac counted H := rewrite ?half_scaled, ?five_size, ?five_block, ?five_anchors in H; exact H.

Example leakage_ceiling_instance :
  leakage (softmax two_high (1 / 2) five) first_three five <= Bound.leakage_ceiling 4 5 3 2.
Proof.
  assert (H := leakage_ceiling two_high (1 / 2) five first_three first_two five_row ltac:(lra) 2 five_margin).
  counted H.
Qed.

Example leakage_ceiling_range_instance :
  leakage (softmax two_high (1 / 2) five) first_three five <= Bound.leakage_ceiling_range 4 4 5 3 2.
Proof.
  assert (H := leakage_ceiling_range two_high (1 / 2) five first_three first_two five_row ltac:(lra) 2 2
    five_margin five_within).
  counted H.
Qed.

Example fidelity_floor_instance :
  fidelity (softmax two_high (1 / 2) five) first_three five >= Bound.fidelity_floor 4 5 3 2.
Proof.
  assert (H := fidelity_floor two_high (1 / 2) five first_three first_two five_row ltac:(lra) 2 five_margin).
  counted H.
Qed.

(* The localised problem need not have an optimum: one key inside, one outside, a squared loss on the leakage. Every
   larger margin is better, and none is best. *)
Theorem refuted_an_optimum_always_exists :
  let loss := fun c => (Bound.leakage_ceiling c 2 1 1) ^ 2 in
  (forall c, 0 < loss c) /\ forall c, exists c', loss c' < loss c.
Proof.
  intros loss. unfold loss, Bound.leakage_ceiling. split; intros c.
  - assert (E := exp_pos (- c)). apply pow_lt, Rdiv_lt_0_compat; lra.
  - exists (c + 1). assert (E := exp_pos (- c)). assert (E' := exp_pos (- (c + 1))).
    assert (L : exp (- (c + 1)) < exp (- c)) by (apply exp_increasing; lra).
    set (x := exp (- c)) in *. set (y := exp (- (c + 1))) in *.
    assert (Q : (2 - 1) * y / (1 + (2 - 1) * y) < (2 - 1) * x / (1 + (2 - 1) * x)).
    { apply (Rmult_lt_reg_r ((1 + y) * (1 + x))); [apply Rmult_lt_0_compat; lra|].
      replace ((2 - 1) * y / (1 + (2 - 1) * y) * ((1 + y) * (1 + x))) with (y * (1 + x)) by (field; lra).
      replace ((2 - 1) * x / (1 + (2 - 1) * x) * ((1 + y) * (1 + x))) with (x * (1 + y)) by (field; lra). lra. }
    assert (P : 0 < (2 - 1) * y / (1 + (2 - 1) * y)) by (apply Rdiv_lt_0_compat; lra).
    simpl. rewrite !Rmult_1_r. apply Rmult_le_0_lt_compat; lra.
Qed.
