(* The dial at inference (claims C1, C2, C6), what a fidelity needs, and how zero cross blocks concentrate (claim C3).
   Mirrors bounds/dial/theorems.

   The dial multiplies the weights outside the block by e^-kappa = 1 - dial, that is, it takes tau kappa off their
   logits. Masses inside stay, so the odds of the leakage are multiplied by e^-kappa exactly. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Attention Information Concentration Entropy.
Import ListNotations.
Open Scope R_scope.

Definition dialled {A} (s : A -> R) (block : A -> bool) (tau kappa : R) (j : A) : R :=
  if block j then s j else s j - tau * kappa.

Section Odds.
Context {A : Type}.
Variables (s : A -> R) (keys : list A) (block : A -> bool) (tau : R).
Hypothesis tau_pos : 0 < tau.
Hypothesis some_inside : exists j, In j keys /\ block j = true.

Local Notation w := (fun j => exp (s j / tau)).
Local Notation v kappa := (fun j => exp (dialled s block tau kappa j / tau)).

Lemma dialled_inside kappa j : block j = true -> v kappa j = w j.
Proof. intros B. unfold dialled. rewrite B. auto. Qed.
Lemma dialled_outside kappa j : block j = false -> v kappa j = exp (- kappa) * w j.
Proof.
  intros B. unfold dialled. rewrite B, <- exp_plus. f_equal. field. lra.
Qed.
Lemma dialled_mass_inside kappa : mass block (v kappa) keys = mass block w keys.
Proof. apply mass_ext. intros j _ B. apply dialled_inside, B. Qed.
Lemma dialled_mass_outside kappa : mass (outside block) (v kappa) keys = exp (- kappa) * mass (outside block) w keys.
Proof.
  rewrite <- mass_scal. apply mass_ext. intros j _ B. apply dialled_outside. unfold outside in B.
  destruct (block j); auto; discriminate.
Qed.
Lemma odds_inside_pos : 0 < mass block w keys.
Proof. apply mass_pos; auto. intros; apply exp_pos. Qed.
Lemma odds_outside_nonneg : 0 <= mass (outside block) w keys.
Proof. apply mass_nonneg. intros; left; apply exp_pos. Qed.
Lemma odds_leakage u : leakage (attention u keys) block keys =
  mass (outside block) u keys / (mass block u keys + mass (outside block) u keys).
Proof. unfold leakage. rewrite attention_mass, (mass_split block u). auto. Qed.

Theorem odds_law kappa :
  leakage (softmax (dialled s block tau kappa) tau keys) block keys =
  Bound.odds_law (leakage (softmax s tau keys) block keys) kappa.
Proof.
  unfold softmax. rewrite !odds_leakage, dialled_mass_inside, dialled_mass_outside.
  assert (I := odds_inside_pos). assert (O := odds_outside_nonneg). assert (E := exp_pos (- kappa)).
  unfold Bound.odds_law. set (i := mass block w keys) in *. set (o := mass (outside block) w keys) in *.
  assert (0 <= exp (- kappa) * o) by sign. field. lra.
Qed.

(* The odds themselves, and the leakage below 1 that makes them finite. *)
Lemma leakage_below_one : 0 <= leakage (softmax s tau keys) block keys < 1.
Proof.
  unfold softmax. rewrite odds_leakage. assert (I := odds_inside_pos). assert (O := odds_outside_nonneg).
  set (i := mass block w keys) in *. set (o := mass (outside block) w keys) in *. split; [sign|].
  apply (Rmult_lt_reg_r (i + o)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Theorem odds_law_of_odds kappa :
  let e := leakage (softmax s tau keys) block keys in
  let e' := leakage (softmax (dialled s block tau kappa) tau keys) block keys in
  e' / (1 - e') = exp (- kappa) * (e / (1 - e)).
Proof.
  cbv zeta. rewrite odds_law. assert (L := leakage_below_one). set (e := leakage _ _ _) in *.
  unfold Bound.odds_law. assert (E := exp_pos (- kappa)). assert (0 <= e * exp (- kappa)) by sign. field. lra.
Qed.
End Odds.

(* Dials compose: kappa adds. In dials, 1 - dial = (1 - dial_1)(1 - dial_2). *)
Theorem odds_law_composes e kappa kappa' : 0 <= e <= 1 ->
  Bound.odds_law (Bound.odds_law e kappa) kappa' = Bound.odds_law e (kappa + kappa').
Proof.
  intros E. unfold Bound.odds_law. rewrite Ropp_plus_distr, exp_plus.
  assert (P := exp_pos (- kappa)). assert (P' := exp_pos (- kappa')).
  assert (0 < e * exp (- kappa) + 1 - e) by nra.
  assert (0 < e * (exp (- kappa) * exp (- kappa')) + 1 - e).
  { assert (0 < exp (- kappa) * exp (- kappa')) by sign. set (g := exp (- kappa) * exp (- kappa')) in *. nra. }
  field. split; lra.
Qed.

(* The least dial for a target fidelity meets it exactly. *)
Theorem odds_law_target e F : 0 < e < 1 -> 0 < F < 1 ->
  Bound.odds_law e (Form.kappa_needed e (1 - e) F (1 - F)) = 1 - F.
Proof.
  intros E HF. unfold Bound.odds_law, Form.kappa_needed.
  replace (- (ln F + ln e - ln (1 - e) - ln (1 - F))) with (ln ((1 - F) * (1 - e) / (F * e))).
  - rewrite exp_ln by sign. replace (e * ((1 - F) * (1 - e) / (F * e))) with ((1 - F) * ((1 - e) / F)) by (field; lra).
    replace ((1 - F) * ((1 - e) / F) + 1 - e) with ((1 - e) / F) by (field; lra). field. lra.
  - rewrite ln_div, !ln_mult by sign. ring.
Qed.

Theorem odds_law_form e kappa : Form.kappa_leakage e (1 - e) kappa = Bound.odds_law e kappa.
Proof. unfold Form.kappa_leakage, Bound.odds_law. f_equal. ring. Qed.

Theorem odds_law_form_of_dial e dial : dial < 1 ->
  Form.dial_leakage e (1 - e) dial = Bound.odds_law e (Form.kappa_of_dial dial).
Proof.
  intros D. unfold Form.dial_leakage, Bound.odds_law, Form.kappa_of_dial.
  rewrite Ropp_involutive, exp_ln by lra. replace (1 + - dial) with (1 - dial) by ring. f_equal. ring.
Qed.

(* In the worst case a row of range D has a margin of -D, the whole block as anchors. *)
Theorem worst_case_dial {A} (s : A -> R) tau (keys : list A) block range kappa : row keys block block ->
  0 < tau -> within s range keys ->
  leakage (softmax (dialled s block tau kappa) tau keys) block keys
    <= Bound.worst_case_dial (range / tau) (size keys) (count block keys) kappa.
Proof.
  intros V T H.
  assert (M : margin (dialled s block tau kappa) (tau * kappa - range) keys block block).
  { intros a o Ha Ho Aa Bo. unfold dialled. rewrite Aa, Bo. specialize (H o a Ho Ha). lra. }
  assert (L := leakage_ceiling (dialled s block tau kappa) tau keys block block V T _ M).
  unfold Bound.leakage_ceiling in L. unfold Bound.worst_case_dial.
  replace (- ((tau * kappa - range) / tau)) with (range / tau - kappa) in L by (field; lra). exact L.
Qed.

Theorem worst_case_dial_attained {A} tau (keys : list A) block range kappa : row keys block block ->
  0 < tau -> 0 <= range ->
  let s := levels block block 0 0 range in within s range keys /\
  leakage (softmax (dialled s block tau kappa) tau keys) block keys
    = Bound.worst_case_dial (range / tau) (size keys) (count block keys) kappa.
Proof.
  intros V T D s. split.
  - intros j k _ _. unfold s, levels. destruct (block j), (block k); lra.
  - destruct (row_counts _ _ _ V) as (Hr & M & N & _). unfold softmax.
    set (w := fun j => exp (dialled s block tau kappa j / tau)).
    rewrite (leakage_weights w).
    assert (E : forall j, w j = levels block block 1 1 (exp (range / tau - kappa)) j).
    { intros j. unfold w, dialled, s, levels. destruct (block j).
      - rewrite <- exp_0. f_equal. field. lra.
      - f_equal. field. lra. }
    rewrite (mass_ext block w _ keys (fun j _ _ => E j)), (mass_ext (outside block) w _ keys (fun j _ _ => E j)).
    rewrite (mass_outside_levels keys block block V (fun y => y)), (mass_block_levels keys block block V (fun y => y)).
    unfold Bound.worst_case_dial. assert (P := exp_pos (range / tau - kappa)). f_equal. ring.
Qed.

Theorem worst_case_dial_suffices D n m F kappa : 0 < m < n -> 0 < F < 1 ->
  kappa >= D + ln ((n - m) * F / (m * (1 - F))) -> Bound.worst_case_dial D n m kappa <= 1 - F.
Proof.
  intros M HF K. unfold Bound.worst_case_dial. set (g := (n - m) * F / (m * (1 - F))) in *.
  assert (G : 0 < g) by (unfold g; sign).
  assert (E : exp (D - kappa) <= / g).
  { rewrite <- (exp_ln (/ g)) by sign. apply exp_le. rewrite ln_Rinv by auto. lra. }
  set (u := exp (D - kappa)) in *. assert (U : 0 < u) by apply exp_pos.
  apply (Rmult_le_reg_r (m + (n - m) * u)); [nra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by nra.
  assert (Fu : F * ((n - m) * u) <= (1 - F) * m).
  { replace ((1 - F) * m) with (F * (n - m) * / g) by (unfold g; field; lra).
    rewrite <- Rmult_assoc. apply Rmult_le_compat_l; [nra|auto]. }
  lra.
Qed.

(* Entropy along the dial: a mixture of two fixed laws. *)
Definition part_entropy {A} (w : A -> R) S (keys : list A) : R :=
  mass S (fun j => - (w j / mass S w keys * ln (w j / mass S w keys))) keys.
Definition mixed (H_in H_out e : R) : R := - (e * ln e) - (1 - e) * ln (1 - e) + (1 - e) * H_in + e * H_out.

Lemma part_entropy_scaled {A} (w v : A -> R) S keys c : c <> 0 -> mass S w keys <> 0 ->
  (forall j, In j keys -> S j = true -> v j = c * w j) -> part_entropy v S keys = part_entropy w S keys.
Proof.
  intros C W E. unfold part_entropy. rewrite (mass_ext S v (fun j => c * w j) keys E), mass_scal.
  apply mass_ext. intros j Hj Sj. rewrite (E j Hj Sj).
  replace (c * w j / (c * mass S w keys)) with (w j / mass S w keys) by (field; auto). auto.
Qed.

(* The chain rule for the indicator of the block. *)
Lemma chain_rule {A} (w : A -> R) (keys : list A) block : (forall j, In j keys -> 0 < w j) ->
  0 < mass block w keys -> 0 < mass (outside block) w keys ->
  entropy (attention w keys) keys =
  mixed (part_entropy w block keys) (part_entropy w (outside block) keys) (leakage (attention w keys) block keys).
Proof.
  intros P I O. rewrite (entropy_split_mass block), odds_leakage. unfold part_entropy, mixed, attention.
  rewrite (mass_split block w). set (i := mass block w keys) in *. set (o := mass (outside block) w keys) in *.
  replace (1 - o / (i + o)) with (i / (i + o)) by (field; lra).
  assert (Part : forall S c, 0 < c -> mass S w keys = c ->
    mass S (fun j => - (w j / (i + o) * ln (w j / (i + o)))) keys =
    c / (i + o) * mass S (fun j => - (w j / c * ln (w j / c))) keys - c / (i + o) * ln (c / (i + o))).
  { intros S c C E. rewrite <- mass_scal.
    rewrite (mass_ext S _ (fun j => c / (i + o) * - (w j / c * ln (w j / c)) + - ln (c / (i + o)) / (i + o) * w j)).
    - rewrite mass_plus, (mass_scal S (- ln (c / (i + o)) / (i + o))), E. field. lra.
    - intros j Hj _. replace (w j / (i + o)) with (w j / c * (c / (i + o))) at 2 by (field; lra).
      rewrite ln_mult by (specialize (P j Hj); sign). field. lra. }
  rewrite (Part block i I eq_refl), (Part (outside block) o O eq_refl). ring.
Qed.

Lemma mixed_below H_in H_out e : 0 <= e <= 1 -> mixed H_in H_out e <= ln (exp H_in + exp H_out).
Proof.
  intros E. assert (P := exp_pos H_in). assert (Q := exp_pos H_out). set (Z := exp H_in + exp H_out).
  assert (G := gibbs_term e (exp H_out / Z) ltac:(lra) ltac:(unfold Z; sign)).
  assert (K := gibbs_term (1 - e) (exp H_in / Z) ltac:(lra) ltac:(unfold Z; sign)).
  rewrite ln_div, ln_exp in G, K by (unfold Z; try apply exp_pos; lra).
  assert (exp H_out / Z + exp H_in / Z = 1) by (unfold Z; field; lra). unfold mixed. nra.
Qed.

Lemma mixed_at_turning_point H_in H_out :
  mixed H_in H_out (Bound.entropy_turning_point H_in H_out) = ln (exp H_in + exp H_out).
Proof.
  assert (P := exp_pos H_in). assert (Q := exp_pos H_out). unfold mixed, Bound.entropy_turning_point.
  set (Z := exp H_in + exp H_out). assert (HZ : 0 < Z) by (unfold Z; lra).
  replace (1 - exp H_out / Z) with (exp H_in / Z) by (unfold Z; field; lra).
  rewrite !ln_div, !ln_exp by auto. set (L := ln Z). clearbody L.
  transitivity ((exp H_in / Z + exp H_out / Z) * L); [ring|]. unfold Z. field. lra.
Qed.

Section Along.
Context {A : Type}.
Variables (s : A -> R) (keys : list A) (block anchor : A -> bool) (tau : R).
Hypothesis valid : row keys block anchor.
Hypothesis tau_pos : 0 < tau.
Local Notation w := (fun j => exp (s j / tau)).
Local Notation H_in := (part_entropy w block keys).
Local Notation H_out := (part_entropy w (outside block) keys).

(* The distributions inside and outside stay as they are along the dial. *)
Theorem entropy_along_dial_mixture kappa :
  let a := softmax (dialled s block tau kappa) tau keys in
  entropy a keys = mixed H_in H_out (leakage a block keys).
Proof.
  assert (P : forall j : A, In j keys -> 0 < w j) by (intros; apply exp_pos).
  assert (I := inside_pos w keys block anchor valid P). assert (O := out_pos w keys block anchor valid P).
  assert (Ei : part_entropy (fun j => exp (dialled s block tau kappa j / tau)) block keys = H_in).
  { apply part_entropy_scaled with 1; [lra|lra|]. intros j _ B. rewrite (dialled_inside s block tau kappa j B). ring. }
  assert (Eo : part_entropy (fun j => exp (dialled s block tau kappa j / tau)) (outside block) keys = H_out).
  { apply part_entropy_scaled with (exp (- kappa)); [apply Rgt_not_eq, exp_pos|lra|].
    intros j _ B. apply dialled_outside; auto. unfold outside in B. destruct (block j); auto; discriminate. }
  cbv zeta. unfold softmax. rewrite (chain_rule _ keys block), Ei, Eo; auto.
  - intros; apply exp_pos.
  - rewrite dialled_mass_inside. exact I.
  - rewrite dialled_mass_outside by auto. apply Rmult_lt_0_compat; [apply exp_pos|exact O].
Qed.

Theorem entropy_along_dial kappa :
  entropy (softmax (dialled s block tau kappa) tau keys) keys <= Bound.entropy_along_dial H_in H_out.
Proof.
  rewrite entropy_along_dial_mixture. apply mixed_below.
  assert (L := leakage_below_one (dialled s block tau kappa) keys block tau). destruct valid as [I [a [Ha Aa]] _].
  assert (K := L ltac:(exists a; auto)). lra.
Qed.

(* Some dial, of either sign, reaches the largest entropy. *)
Theorem entropy_along_dial_attained : exists kappa,
  entropy (softmax (dialled s block tau kappa) tau keys) keys = Bound.entropy_along_dial H_in H_out.
Proof.
  assert (Some : exists j, In j keys /\ block j = true) by (destruct valid as [I [a [Ha Aa]] _]; exists a; auto).
  set (e := leakage (softmax s tau keys) block keys).
  assert (E : 0 < e < 1).
  { split; [|apply leakage_below_one; auto]. unfold e, softmax. rewrite (leakage_weights w).
    assert (P : forall j : A, In j keys -> 0 < w j) by (intros; apply exp_pos).
    assert (I := inside_pos w keys block anchor valid P). assert (O := out_pos w keys block anchor valid P). sign. }
  set (F := 1 - Bound.entropy_turning_point H_in H_out).
  assert (HF : 0 < F < 1).
  { unfold F, Bound.entropy_turning_point. assert (P := exp_pos H_in). assert (Q := exp_pos H_out).
    replace (1 - exp H_out / (exp H_in + exp H_out)) with (exp H_in / (exp H_in + exp H_out)) by (field; lra).
    split; [sign|]. apply (Rmult_lt_reg_r (exp H_in + exp H_out)); [lra|].
    unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
  exists (Form.kappa_needed e (1 - e) F (1 - F)). rewrite entropy_along_dial_mixture, odds_law by auto. fold e.
  rewrite odds_law_target by auto. replace (1 - F) with (Bound.entropy_turning_point H_in H_out) by (unfold F; ring).
  apply mixed_at_turning_point.
Qed.
End Along.

(* Up to the turning point more leakage means more entropy, beyond it less: so entropy falls throughout along the dial
   iff the leakage at dial 0 is at most the turning point. *)
Lemma mixed_tangent H_in H_out e e' : 0 < e < 1 -> 0 <= e' <= 1 ->
  mixed H_in H_out e' <= mixed H_in H_out e + (e' - e) * (ln (1 - e) - ln e + H_out - H_in).
Proof.
  intros E E'. assert (G := gibbs_term e' e ltac:(lra) ltac:(lra)).
  assert (K := gibbs_term (1 - e') (1 - e) ltac:(lra) ltac:(lra)). unfold mixed. nra.
Qed.

Lemma slope_sign H_in H_out e : 0 < e < 1 ->
  (e <= Bound.entropy_turning_point H_in H_out -> 0 <= ln (1 - e) - ln e + H_out - H_in) /\
  (Bound.entropy_turning_point H_in H_out <= e -> ln (1 - e) - ln e + H_out - H_in <= 0).
Proof.
  intros E. assert (P := exp_pos H_in). assert (Q := exp_pos H_out). unfold Bound.entropy_turning_point.
  assert (L : ln ((1 - e) * exp H_out) = ln (1 - e) + H_out) by (rewrite ln_mult, ln_exp by lra; auto).
  assert (L' : ln (e * exp H_in) = ln e + H_in) by (rewrite ln_mult, ln_exp by lra; auto).
  assert (0 < (1 - e) * exp H_out) by sign. assert (0 < e * exp H_in) by sign.
  split; intros H1; apply (Rmult_le_compat_r (exp H_in + exp H_out)) in H1; try lra;
    unfold Rdiv in H1; rewrite Rmult_assoc, Rinv_l in H1 by lra.
  - assert (K := ln_le (e * exp H_in) ((1 - e) * exp H_out) ltac:(auto) ltac:(lra)). lra.
  - assert (K := ln_le ((1 - e) * exp H_out) (e * exp H_in) ltac:(auto) ltac:(lra)). lra.
Qed.

Theorem entropy_turning_point H_in H_out e e' : 0 < e -> e <= e' -> e' < 1 ->
  (e' <= Bound.entropy_turning_point H_in H_out -> mixed H_in H_out e <= mixed H_in H_out e') /\
  (Bound.entropy_turning_point H_in H_out <= e -> mixed H_in H_out e' <= mixed H_in H_out e).
Proof.
  intros E EE E'. split; intros T.
  - assert (K := mixed_tangent H_in H_out e' e ltac:(lra) ltac:(lra)).
    destruct (slope_sign H_in H_out e' ltac:(lra)) as [S _]. specialize (S T). nra.
  - assert (K := mixed_tangent H_in H_out e e' ltac:(lra) ltac:(lra)).
    destruct (slope_sign H_in H_out e ltac:(lra)) as [_ S]. specialize (S T). nra.
Qed.

(* One key inside of mass 0.01, one outside of mass 0.99: half the leakage has more entropy, so "more dial, less entropy"
   is false. *)
Theorem refuted_more_dial_less_entropy : exists (s : nat -> R) (kappa : R), 0 < kappa /\
  entropy (softmax s 1 two) two < entropy (softmax (dialled s first 1 kappa) 1 two) two.
Proof.
  set (s := levels first first (- ln 99) (- ln 99) 0). exists s, (ln 99).
  assert (L : 0 < ln 99) by (rewrite <- ln_1; apply ln_increasing; lra). split; auto.
  assert (N : exists j, In j two) by (exists 0%nat; simpl; auto).
  rewrite !entropy_softmax by auto. unfold dialled, s, levels, two, first. simpl.
  rewrite !Rmult_1_l, exp_Ropp, exp_ln, Rminus_0_l, exp_Ropp, exp_ln, exp_0 by lra.
  replace (ln (/ 99 + (1 + 0)) - (/ 99 * - ln 99 + (1 * 0 + 0)) / (/ 99 + (1 + 0)))
    with (ln (/ 99 + (1 + 0)) + ln 99 / 100) by (field; lra).
  replace (ln (/ 99 + (/ 99 + 0)) - (/ 99 * - ln 99 + (/ 99 * - ln 99 + 0)) / (/ 99 + (/ 99 + 0)))
    with (ln (/ 99 + (/ 99 + 0)) + ln 99) by (field; lra).
  replace (/ 99 + (1 + 0)) with (100 / 99) by field. replace (/ 99 + (/ 99 + 0)) with (2 / 99) by field.
  rewrite !ln_div by lra.
  (* ln 100 < ln 2 + ln 99 * 99 / 100, as 100^100 < 2^100 99^99 *)
  assert (ln 100 <= ln 2 + ln 50).
  { rewrite <- ln_mult by lra. apply ln_le; lra. }
  assert (ln 50 + ln 50 / 50 < ln 99).
  { assert (B := ln_above (99 / 50) ltac:(lra)). rewrite ln_div in B by lra.
    assert (C := ln_below (50 / 2 / 2 / 2 / 2 / 2) ltac:(lra)). rewrite !ln_div in C by lra.
    assert (D := ln_below 2 ltac:(lra)). lra. }
  assert (C := ln_below (99 / 2 / 2 / 2 / 2 / 2 / 2) ltac:(lra)). rewrite !ln_div in C by lra.
  assert (D := ln_below 2 ltac:(lra)). assert (B := ln_above (99 / 50) ltac:(lra)). rewrite ln_div in B by lra. lra.
Qed.

(* Zero cross blocks and anchors. Logits are bilinear in features; a localist token holds features of its own block
   alone; with every cross block of W zero, a key outside has logit 0, so anchors of logit a give a margin of a. *)
Section AnchorFloor.
Context {A C : Type}.
Variables (coordinates : list C) (own : C -> bool) (W : C -> C -> R) (query : C -> R) (feature : A -> C -> R).
Variables (keys : list A) (block anchor : A -> bool).

Definition bilinear (x : C -> R) (W : C -> C -> R) (y : C -> R) : R :=
  sum (fun p => sum (fun q => x p * W p q * y q) coordinates) coordinates.

Theorem anchor_floor tau a : row keys block anchor -> 0 < tau ->
  (forall p, In p coordinates -> own p = false -> query p = 0) ->
  (forall j p, In j keys -> block j = false -> In p coordinates -> own p = true -> feature j p = 0) ->
  (forall p q, own p = true -> own q = false -> W p q = 0) ->
  (forall j, In j keys -> anchor j = true -> a <= bilinear query W (feature j)) ->
  fidelity (softmax (fun j => bilinear query W (feature j)) tau keys) block keys
    >= Bound.anchor_floor (size keys) (count block keys) (count anchor keys) tau a.
Proof.
  intros V T Q Fo Z An. unfold Bound.anchor_floor.
  apply (fidelity_floor _ tau keys block anchor V T a). intros j o Hj Ho Aj Bo.
  assert (bilinear query W (feature o) = 0) as ->; [|rewrite Rplus_0_l; auto].
  apply sum_all_zero. intros p Hp. apply sum_all_zero. intros q Hq.
  destruct (own p) eqn:Op; [|rewrite (Q p Hp Op); ring].
  destruct (own q) eqn:Oq; [rewrite (Fo o q Ho Bo Hq Oq)|rewrite (Z p q Op Oq)]; ring.
Qed.
End AnchorFloor.

(* Inverse design, on the safe side: the margin, the anchors and the keys outside that a fidelity allows. *)
Theorem anchor_floor_margin F n m r tau a : 0 < r <= m -> m < n -> 0 < F < 1 -> 0 < tau ->
  a / tau >= Form.scaled_margin F (1 - F) n m r -> Bound.anchor_floor n m r tau a >= F.
Proof.
  intros R M HF T H. unfold Form.scaled_margin in H. unfold Bound.anchor_floor.
  set (g := F * (n - m) / ((1 - F) * r)) in *. assert (G : 0 < g) by (unfold g; sign).
  assert (E : exp (- (a / tau)) <= / g).
  { rewrite <- (exp_ln (/ g)) by sign. apply exp_le. rewrite ln_Rinv by auto. lra. }
  set (u := exp (- (a / tau))) in *. assert (U : 0 < u) by apply exp_pos. apply Rle_ge.
  apply (Rmult_le_reg_r (r + (n - m) * u)); [nra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by nra.
  assert (F * (n - m) * u <= F * (n - m) * / g) by (apply Rmult_le_compat_l; [nra|auto]).
  assert (F * (n - m) * / g = (1 - F) * r) by (unfold g; field; lra). lra.
Qed.

Theorem anchor_floor_anchors F n m r tau a : 0 < r -> m < n -> 0 < F < 1 ->
  r >= Form.anchors_needed (a / tau) F (1 - F) n m -> Bound.anchor_floor n m r tau a >= F.
Proof.
  intros R M HF H. unfold Form.anchors_needed in H. unfold Bound.anchor_floor.
  set (u := exp (- (a / tau))) in *. assert (U : 0 < u) by apply exp_pos. apply Rle_ge.
  apply (Rmult_le_reg_r (r + (n - m) * u)); [nra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by nra.
  assert ((1 - F) * (F * (n - m) * u / (1 - F)) <= (1 - F) * r) by (apply Rmult_le_compat_l; lra).
  assert ((1 - F) * (F * (n - m) * u / (1 - F)) = F * (n - m) * u) by (field; lra). lra.
Qed.

Theorem anchor_floor_context F n m r tau a : 0 < r -> m < n -> 0 < F < 1 ->
  n - m <= Form.outsiders_allowed (a / tau) F (1 - F) r -> Bound.anchor_floor n m r tau a >= F.
Proof.
  intros R M HF H. unfold Form.outsiders_allowed in H. unfold Bound.anchor_floor. rewrite exp_Ropp.
  set (x := exp (a / tau)) in *. assert (X : 0 < x) by apply exp_pos. assert (IX : 0 < / x) by sign. apply Rle_ge.
  apply (Rmult_le_reg_r (r + (n - m) * / x)); [nra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by nra.
  assert (F * / x * (n - m) <= F * / x * ((1 - F) * r * x / F)) by (apply Rmult_le_compat_l; [nra|lra]).
  assert (F * / x * ((1 - F) * r * x / F) = (1 - F) * r) by (field; lra). lra.
Qed.

(* Without anchors nothing follows: own logits 0 too, and the fidelity is m/n. *)
Theorem refuted_without_anchors {A} (keys : list A) block : row keys block block ->
  fidelity (softmax (fun _ => 0) 1 keys) block keys = count block keys / size keys.
Proof.
  intros V. unfold fidelity, softmax. rewrite attention_mass, mass_const, sum_const. destruct (row_counts _ _ _ V) as (Hr & M & N & _).
  assert (E := exp_pos (0 / 1)). field. split; lra.
Qed.

(* Instances: the five keys; for the floor, one feature a block and one anchor weight. *)
Example odds_law_instance :
  leakage (softmax (dialled two_high first_three (1 / 2) 1) (1 / 2) five) first_three five =
  Bound.odds_law (leakage (softmax two_high (1 / 2) five) first_three five) 1.
Proof.
  apply odds_law; [lra|]. exists 0%nat. simpl. auto.
Qed.

Lemma five_row_three : row five first_three first_three.
Proof. split; auto; [exists 0%nat|exists 4%nat]; simpl; auto 10. Qed.

Example worst_case_dial_instance :
  leakage (softmax (dialled two_high first_three (1 / 2) 5) (1 / 2) five) first_three five
    <= Bound.worst_case_dial 4 5 3 5.
Proof.
  assert (H := worst_case_dial two_high (1 / 2) five first_three 2 5 five_row_three ltac:(lra) five_within). counted H.
Qed.

Example entropy_along_dial_instance : let w := fun j => exp (two_high j / (1 / 2)) in
  entropy (softmax (dialled two_high first_three (1 / 2) 1) (1 / 2) five) five <=
  Bound.entropy_along_dial (part_entropy w first_three five) (part_entropy w (outside first_three) five).
Proof. apply (entropy_along_dial two_high five first_three first_two (1 / 2) five_row). lra. Qed.

Example entropy_turning_point_instance : Bound.entropy_turning_point 0 0 = 1 / 2 /\
  mixed 0 0 (1 / 4) <= mixed 0 0 (1 / 3) /\ mixed 0 0 (2 / 3) <= mixed 0 0 (1 / 2).
Proof.
  assert (E : Bound.entropy_turning_point 0 0 = 1 / 2) by (unfold Bound.entropy_turning_point; rewrite exp_0; field).
  split; auto. split.
  - apply (proj1 (entropy_turning_point 0 0 (1 / 4) (1 / 3) ltac:(lra) ltac:(lra) ltac:(lra))). lra.
  - apply (proj2 (entropy_turning_point 0 0 (1 / 2) (2 / 3) ltac:(lra) ltac:(lra) ltac:(lra))). lra.
Qed.

Example anchor_floor_instance :
  let features := fun j p : nat => if Nat.eqb j p then 1 else 0 in
  let W := fun p q : nat => if Nat.eqb p 0 then (if Nat.eqb q 0 then 3 else 0) else 1 in
  fidelity (softmax (fun j => bilinear [0; 1]%nat (features 0%nat) W (features j)) 1 two) first two
    >= Bound.anchor_floor 2 1 1 1 3.
Proof.
  intros features W.
  assert (H := anchor_floor [0; 1]%nat (fun p => Nat.eqb p 0) W (features 0%nat) features two first first 1 3 two_row).
  unfold size, count in H. simpl in H. replace (1 + 1) with 2 in H by ring. apply H; try lra.
  - intros [|p]; unfold features; simpl; intros; [discriminate|auto].
  - intros [|[|j]] [|p]; unfold features; simpl; intros; auto; discriminate.
  - intros [|p] [|q]; unfold W; simpl; intros; auto; discriminate.
  - intros [|j]; simpl; intros; [|discriminate]. unfold bilinear, features, W. simpl. lra.
Qed.

(* The forms that run are the expressions. *)
Theorem entropy_turning_point_form H_in H_out : Form.peak_leakage H_in H_out = Bound.entropy_turning_point H_in H_out.
Proof.
  unfold Form.peak_leakage, Bound.entropy_turning_point, Rminus. rewrite exp_plus, exp_Ropp.
  assert (P := exp_pos H_in). assert (Q := exp_pos H_out). field. lra.
Qed.
