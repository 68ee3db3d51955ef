(* Rules at inference (claims C8, C12). Mirrors bounds/rules/theorems. A bias on the keys of a rule is the dial seen
   from inside; reloads are events on a finite probability space. *)

Require Import Reals Lra Psatz List Bool Lia Classical.
From Localist Require Import ClosedForms Sums Attention Concentration.
Import ListNotations.
Open Scope R_scope.

Definition biased {A} (s : A -> R) (rule : A -> bool) (b : R) (j : A) : R := if rule j then s j + b else s j.

Theorem rule_mass {A} (s : A -> R) tau (keys : list A) rule range bias : row keys rule rule ->
  0 < tau -> within s range keys ->
  leakage (softmax (biased s rule bias) tau keys) rule keys
    <= Bound.rule_mass (range / tau) (size keys) tau (count rule keys) bias.
Proof.
  intros V T H. destruct (row_counts _ _ _ V) as (Hr & M & N & _).
  assert (Mg : margin (biased s rule bias) (bias - range) keys rule rule).
  { intros a o Ha Ho Aa Bo. unfold biased. rewrite Aa, Bo. specialize (H o a Ho Ha). lra. }
  assert (L := leakage_ceiling (biased s rule bias) tau keys rule rule V T _ Mg).
  apply Rle_trans with (1 := L). right. unfold Bound.leakage_ceiling, Bound.rule_mass. rewrite exp_Ropp.
  replace ((bias - range) / tau) with (bias / tau - range / tau) by (field; lra).
  assert (P := exp_pos (bias / tau - range / tau)). field. split; nra.
Qed.

Theorem rule_mass_attained {A} tau (keys : list A) rule range bias : row keys rule rule -> 0 < tau -> 0 <= range ->
  let s := levels rule rule 0 0 range in within s range keys /\
  leakage (softmax (biased s rule bias) tau keys) rule keys
    = Bound.rule_mass (range / tau) (size keys) tau (count rule keys) bias.
Proof.
  intros V T D s. split.
  - intros j k _ _. unfold s, levels. destruct (rule j), (rule k); lra.
  - destruct (row_counts _ _ _ V) as (Hr & M & N & _). unfold softmax.
    set (w := fun j => exp (biased s rule bias j / tau)). rewrite (leakage_weights w).
    assert (E : forall j, w j = levels rule rule (exp (bias / tau)) (exp (bias / tau)) (exp (range / tau)) j).
    { intros j. unfold w, biased, s, levels. destruct (rule j); f_equal; f_equal; ring. }
    rewrite (mass_ext rule w _ keys (fun j _ _ => E j)), (mass_ext (outside rule) w _ keys (fun j _ _ => E j)).
    rewrite (mass_outside_levels keys rule rule V (fun y => y)), (mass_block_levels keys rule rule V (fun y => y)).
    unfold Bound.rule_mass, Rminus at 6. rewrite exp_plus, exp_Ropp.
    assert (P := exp_pos (bias / tau)). assert (Q := exp_pos (range / tau)).
    assert (0 < count rule keys * exp (bias / tau)) by sign.
    assert (0 < (size keys - count rule keys) * exp (range / tau)) by sign. field. repeat split; nra.
Qed.

(* The bias that guarantees the target. *)
Theorem rule_mass_bias D n r tau eps bias : 0 < r < n -> 0 < eps < 1 -> 0 < tau ->
  bias >= tau * (D + ln ((n - r) * (1 - eps) / (r * eps))) -> Bound.rule_mass D n tau r bias <= eps.
Proof.
  intros R E T H. unfold Bound.rule_mass. set (g := (n - r) * (1 - eps) / (r * eps)) in *.
  assert (G : 0 < g) by (unfold g; sign).
  assert (B : g <= exp (bias / tau - D)).
  { rewrite <- (exp_ln g) by auto. apply exp_le.
    assert (D + ln g <= bias / tau); [|lra]. apply (Rmult_le_reg_l tau); auto.
    replace (tau * (bias / tau)) with bias by (field; lra). lra. }
  set (u := exp (bias / tau - D)) in *.
  replace (n + r * u - r) with ((n - r) + r * u) by ring.
  assert (Rg : r * g = (n - r) * (1 - eps) / eps) by (unfold g; field; lra).
  assert (r * g <= r * u) by (apply Rmult_le_compat_l; lra).
  assert (0 < (n - r) + r * u) by nra.
  apply (Rmult_le_reg_r ((n - r) + r * u)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  assert (eps * (r * g) = (n - r) * (1 - eps)) by (rewrite Rg; field; lra). nra.
Qed.

(* Two rules without a common key, biased by b_A and b_B. *)
Theorem rule_priority {A} (s : A -> R) tau (keys : list A) ruleA ruleB range biasA biasB :
  (exists j, In j keys /\ ruleA j = true) -> (exists j, In j keys /\ ruleB j = true) ->
  (forall j, In j keys -> ruleA j = true -> ruleB j = false) -> 0 < tau -> within s range keys ->
  let a := softmax (biased (biased s ruleA biasA) ruleB biasB) tau keys in
  mass ruleA a keys / mass ruleB a keys
    >= Bound.rule_priority (range / tau) tau (biasA - biasB) (count ruleA keys) (count ruleB keys).
Proof.
  intros SA SB Dj T H a. assert (CA := count_pos ruleA keys SA). assert (CB := count_pos ruleB keys SB).
  assert (Ne : exists j, In j keys) by (destruct SA as [j [Hj _]]; exists j; auto).
  set (w := fun j => exp (biased (biased s ruleA biasA) ruleB biasB j / tau)).
  assert (P : forall j, In j keys -> 0 < w j) by (intros; apply exp_pos).
  assert (Z := total_pos w keys P Ne).
  assert (MB : 0 < mass ruleB w keys) by (apply mass_pos; auto; intros; apply exp_pos).
  change a with (attention w keys). rewrite !attention_mass.
  replace (mass ruleA w keys / sum w keys / (mass ruleB w keys / sum w keys))
    with (mass ruleA w keys / mass ruleB w keys) by (field; lra).
  unfold Bound.rule_priority. set (c := exp ((biasA - biasB) / tau - range / tau)).
  assert (K : count ruleA keys * mass ruleB (fun j => c * w j) keys <= count ruleB keys * mass ruleA w keys).
  { apply mass_pairs. intros i j Hi Hj Ai Bj. unfold c, w, biased. rewrite Ai, Bj, (Dj i Hi Ai).
    assert (ruleA j = false) as ->.
    { destruct (ruleA j) eqn:E; auto. rewrite (Dj j Hj E) in Bj. discriminate. }
    rewrite <- exp_plus. apply exp_le.
    replace ((biasA - biasB) / tau - range / tau + (s j + biasB) / tau) with ((s j - range + biasA) / tau)
      by (field; lra).
    apply scaled_le; auto. specialize (H j i Hj Hi). lra. }
  rewrite mass_scal in K. apply Rle_ge.
  apply (Rmult_le_reg_r (count ruleB keys * mass ruleB w keys)); [nra|].
  replace (mass ruleA w keys / mass ruleB w keys * (count ruleB keys * mass ruleB w keys))
    with (count ruleB keys * mass ruleA w keys) by (field; lra).
  replace (count ruleA keys * c / count ruleB keys * (count ruleB keys * mass ruleB w keys))
    with (count ruleA keys * (c * mass ruleB w keys)) by (field; lra). exact K.
Qed.

Theorem rule_priority_gap D tau c rA rB : 0 < tau -> 0 < c -> 0 < rA -> 0 < rB ->
  Bound.rule_priority D tau (Form.gap_needed c D tau rA rB) rA rB = c.
Proof.
  intros T C RA RB. unfold Bound.rule_priority, Form.gap_needed.
  replace (tau * (D + ln (c * rB / rA)) / tau - D) with (ln (c * rB / rA)) by (field; lra).
  rewrite exp_ln by sign. field. lra.
Qed.

(* Reloads. A violation persists while no reload has worked, so that none is ever brought back. *)
Section Reloads.
Context {W : Type}.
Variables (outcomes : list W) (P : W -> R) (works : nat -> W -> bool) (p : nat -> R).

Fixpoint violating (t : nat) (o : W) : bool :=
  match t with O => true | S t => violating t o && negb (works t o) end.
Fixpoint survival (t : nat) : R :=
  match t with O => 1 | S t => survival t * Bound.reload_compliance (p t) end.

Hypothesis probabilities : forall o, In o outcomes -> 0 <= P o.
Hypothesis total : sum P outcomes = 1.
Hypothesis p_below_one : forall t, p t <= 1.
(* Reload t works with probability at least p t, given that the violation persists. *)
Hypothesis conditional : forall t,
  p t * mass (violating t) P outcomes <= mass (fun o => violating t o && works t o) P outcomes.

Theorem reload_compliance t : mass (violating t) P outcomes <= survival t.
Proof.
  induction t as [|t IH]; simpl.
  - rewrite <- total. right. apply sum_ext. auto.
  - assert (E : mass (violating t) P outcomes =
      mass (fun o => violating t o && works t o) P outcomes
      + mass (fun o => violating t o && negb (works t o)) P outcomes).
    { unfold mass. rewrite <- sum_plus. apply sum_ext. intros o _. destruct (violating t o), (works t o); simpl; ring. }
    assert (C := conditional t). assert (Q := p_below_one t). unfold Bound.reload_compliance.
    apply Rle_trans with (mass (violating t) P outcomes * (1 - p t)); [lra|apply Rmult_le_compat_r; lra].
Qed.
End Reloads.

Section Limit.
Variable p : nat -> R.
Hypothesis probability : forall t, 0 <= p t < 1.
Fixpoint total_of (t : nat) : R := match t with O => 0 | S t => total_of t + p t end.

Lemma survival_pos t : 0 < survival p t.
Proof.
  induction t; simpl; [lra|]. unfold Bound.reload_compliance. assert (H := probability t). nra.
Qed.

Theorem reload_limit t : survival p t <= Bound.reload_limit (total_of t).
Proof.
  unfold Bound.reload_limit. induction t; simpl; [rewrite Ropp_0, exp_0; lra|].
  rewrite Ropp_plus_distr, exp_plus. assert (H := probability t). unfold Bound.reload_compliance.
  apply Rmult_le_compat; [left; apply survival_pos|lra|auto|]. assert (K := exp_ineq1_le (- p t)). lra.
Qed.

Theorem reload_limit_below t : 1 - total_of t <= survival p t.
Proof.
  induction t; simpl; [lra|]. unfold Bound.reload_compliance. assert (H := probability t).
  assert (S := survival_pos t).
  assert (T : survival p t <= 1).
  { clear IHt S. induction t; simpl; [lra|]. unfold Bound.reload_compliance.
    assert (H' := probability t). assert (S := survival_pos t). assert (K := IHt ltac:(apply probability)). nra. }
  nra.
Qed.

(* The same from any time on. *)
Lemma survival_from t0 d : survival p t0 * (1 - (total_of (t0 + d) - total_of t0)) <= survival p (t0 + d).
Proof.
  assert (S0 := survival_pos t0). induction d as [|d IH].
  - rewrite Nat.add_0_r. lra.
  - rewrite Nat.add_succ_r. simpl. unfold Bound.reload_compliance. assert (H := probability (t0 + d)).
    assert (S := survival_pos (t0 + d)).
    assert (L : survival p (t0 + d) <= survival p t0).
    { clear - probability. induction d; [rewrite Nat.add_0_r; lra|]. rewrite Nat.add_succ_r. simpl.
      unfold Bound.reload_compliance. assert (H := probability (t0 + d)). assert (S := survival_pos (t0 + d)). nra. }
    nra.
Qed.
Lemma total_grows t0 d : total_of t0 <= total_of (t0 + d).
Proof.
  induction d; [rewrite Nat.add_0_r; lra|]. rewrite Nat.add_succ_r. simpl. assert (H := probability (t0 + d)). lra.
Qed.
Lemma survival_falls t d : survival p (t + d) <= survival p t.
Proof.
  induction d; [rewrite Nat.add_0_r; lra|]. rewrite Nat.add_succ_r. simpl. unfold Bound.reload_compliance.
  assert (H := probability (t + d)). assert (S := survival_pos (t + d)). nra.
Qed.

(* Violations end almost surely iff the sum diverges. *)
Theorem reload_limit_iff :
  (forall e, 0 < e -> exists t, survival p t < e) <-> (forall M, exists t, M < total_of t).
Proof.
  split.
  - intros H M. apply NNPP. intros No.
    assert (B : forall t, total_of t <= M) by (intros t; destruct (Rle_lt_dec (total_of t) M); auto; elim No; exists t; auto).
    destruct (completeness (fun x => exists t, x = total_of t)) as [sup [Up Low]].
    + exists M. intros x [t ->]. auto.
    + exists 0, 0%nat. auto.
    + destruct (classic (exists t0, sup - 1 / 2 < total_of t0)) as [[t0 T0]|N0].
      * destruct (H (survival p t0 / 2)) as [t Ht]; [assert (S := survival_pos t0); lra|].
        assert (S0 := survival_pos t0).
        destruct (Nat.le_gt_cases t0 t) as [L|L].
        -- replace t with (t0 + (t - t0))%nat in Ht by lia. assert (K := survival_from t0 (t - t0)).
           assert (U : total_of (t0 + (t - t0)) <= sup) by (apply Up; exists (t0 + (t - t0))%nat; auto).
           nra.
        -- assert (K := survival_falls t (t0 - t)). replace (t + (t0 - t))%nat with t0 in K by lia. lra.
      * assert (sup <= sup - 1 / 2); [|lra]. apply Low. intros x [t ->].
        destruct (Rle_lt_dec (total_of t) (sup - 1 / 2)); auto. elim N0. exists t. auto.
  - intros H e He. destruct (H (- ln e)) as [t Ht]. exists t.
    apply Rle_lt_trans with (1 := reload_limit t). unfold Bound.reload_limit. rewrite <- (exp_ln e) by auto.
    apply exp_increasing. lra.
Qed.
End Limit.

(* Without the condition: reloads that all work or all fail, with probability 1/2 each. Every reload works with
   probability 1/2, and the violation persists with probability 1/2 for ever. *)
Theorem refuted_without_the_condition :
  let coin := [true; false] in let fair := fun _ : bool => 1 / 2 in let works := fun (t : nat) (o : bool) => o in
  sum fair coin = 1 /\ (forall t, mass (works t) fair coin = 1 / 2) /\
  forall t, mass (violating works (S t)) fair coin = 1 / 2.
Proof.
  intros coin fair works. split; [unfold fair; simpl; lra|]. split; [intros t; unfold mass; simpl; unfold fair; lra|].
  intros t. assert (T : violating works (S t) true = false /\ violating works (S t) false = true).
  { induction t as [|t [IH1 IH2]]; [simpl; auto|].
    change (violating works (S (S t)) true) with (violating works (S t) true && negb (works (S t) true)).
    change (violating works (S (S t)) false) with (violating works (S t) false && negb (works (S t) false)).
    rewrite IH1, IH2. auto. }
  destruct T as [T1 T2]. unfold mass. cbn [sum coin]. rewrite T1, T2. unfold fair. lra.
Qed.

Lemma five_rule : row five first_two first_two.
Proof. split; auto; [exists 0%nat|exists 4%nat]; simpl; auto 10. Qed.

Example rule_mass_instance :
  leakage (softmax (biased two_high first_two 3) (1 / 2) five) first_two five <= Bound.rule_mass 4 5 (1 / 2) 2 3.
Proof. assert (H := rule_mass two_high (1 / 2) five first_two 2 3 five_rule ltac:(lra) five_within). counted H. Qed.

Example rule_priority_instance : let third j := Nat.eqb j 2 in
  let a := softmax (biased (biased two_high first_two 3) third 1) (1 / 2) five in
  mass first_two a five / mass third a five >= Bound.rule_priority 4 (1 / 2) 2 2 1.
Proof.
  intros third a. assert (H := rule_priority two_high (1 / 2) five first_two third 2 3 1).
  assert (C : count third five = 1) by (unfold count; simpl; ring). rewrite C in H.
  replace (3 - 1) with 2 in H by ring. rewrite half_scaled, five_anchors in H. apply H; try exact five_within; try lra.
  - exists 0%nat. simpl. auto.
  - exists 2%nat. simpl. auto.
  - intros [|[|[|j]]]; unfold third, first_two; simpl; intros; auto; discriminate.
Qed.

(* Two independent reloads that work with probabilities 1/2 and 1/3: four outcomes. *)
Example reload_compliance_instance :
  let outcomes := [(true, true); (true, false); (false, true); (false, false)] in
  let P := fun o : bool * bool => (1 / 2) * (if snd o then 1 / 3 else 2 / 3) in
  let works := fun (t : nat) (o : bool * bool) => match t with O => fst o | 1%nat => snd o | _ => false end in
  let p := fun t : nat => match t with O => 1 / 2 | 1%nat => 1 / 3 | _ => 0 end in
  mass (violating works 2) P outcomes <= survival p 2.
Proof.
  intros outcomes P works p. apply reload_compliance with (p := p).
  - unfold P, outcomes. simpl. lra.
  - intros [|[|t]]; unfold p; lra.
  - intros [|[|t]]; unfold mass, P, p, outcomes; simpl; try lra.
    rewrite Rmult_0_l. repeat apply Rplus_le_le_0_compat; try lra;
      rewrite andb_false_r; lra.
Qed.

Example reload_limit_instance : survival (fun _ => 1 / 2) 3 <= Bound.reload_limit (total_of (fun _ => 1 / 2) 3) /\
  survival (fun _ => 1 / 2) 3 = 1 / 8.
Proof.
  split; [apply reload_limit; intros; lra|]. simpl. unfold Bound.reload_compliance. field.
Qed.
