(* Penalised leakage (claims C3, C4, C6): what a penalty buys, exchange, what masking costs, entropy of mixed rows.
   Mirrors bounds/gates/theorems/leakage.py. A solution is its loss and its leakage Omega; J = L + lambda Omega. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Attention Information Entropy.
Import ListNotations.
Open Scope R_scope.

Definition objective (lambda loss omega : R) : R := loss + lambda * omega.

Theorem penalised_leakage lambda loss_ref loss_found omega : 0 < lambda ->
  objective lambda loss_found omega <= objective lambda loss_ref 0 ->
  omega <= Bound.penalised_leakage lambda loss_ref loss_found.
Proof.
  unfold objective, Bound.penalised_leakage. intros P H. apply (Rmult_le_reg_r lambda); auto.
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(* The penalty that a target needs: any solution that is no worse than the reference meets it. *)
Theorem penalised_leakage_target lambda loss_ref loss_found least goal omega : 0 < lambda -> 0 < goal ->
  least <= loss_found -> Form.penalty_for_leakage loss_ref least goal <= lambda ->
  objective lambda loss_found omega <= objective lambda loss_ref 0 -> omega <= goal.
Proof.
  unfold objective, Form.penalty_for_leakage. intros P G L T H.
  apply (Rmult_le_compat_r goal) in T; [|lra]. unfold Rdiv in T. rewrite Rmult_assoc, Rinv_l in T by lra. nra.
Qed.

(* Nothing smaller holds of all: a solution as good as the reference has it. *)
Theorem penalised_leakage_attained lambda loss_ref loss_found : 0 < lambda ->
  let omega := Bound.penalised_leakage lambda loss_ref loss_found in
  objective lambda loss_found omega = objective lambda loss_ref 0.
Proof. intros P. unfold objective, Bound.penalised_leakage. field. lra. Qed.

Section Exchange.
Variables lambda_1 lambda_2 loss_1 loss_2 omega_1 omega_2 : R.
Hypothesis first_best : objective lambda_1 loss_1 omega_1 <= objective lambda_1 loss_2 omega_2.
Hypothesis second_best : objective lambda_2 loss_2 omega_2 <= objective lambda_2 loss_1 omega_1.

Theorem exchange_leakage : lambda_1 < lambda_2 -> omega_2 <= Bound.exchange_leakage omega_1.
Proof. unfold objective, Bound.exchange_leakage in *. intros L. nra. Qed.

Theorem exchange_leakage_loss : 0 <= lambda_1 < lambda_2 -> loss_1 <= loss_2.
Proof. intros L. assert (H := exchange_leakage ltac:(lra)). unfold objective, Bound.exchange_leakage in *. nra. Qed.

Theorem exchange_rate : omega_2 < omega_1 -> Bound.exchange_rate loss_1 loss_2 omega_1 omega_2 <= lambda_2.
Proof.
  clear first_best. unfold objective, Bound.exchange_rate in *. intros L. apply (Rmult_le_reg_r (omega_1 - omega_2)); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Theorem exchange_rate_lower : omega_2 < omega_1 -> lambda_1 <= Bound.exchange_rate loss_1 loss_2 omega_1 omega_2.
Proof.
  clear second_best. unfold objective, Bound.exchange_rate in *. intros L. apply (Rmult_le_reg_r (omega_1 - omega_2)); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.
End Exchange.

(* Minimisers are the supported points: below every chord of two others, and conversely. *)
Theorem supported_points lambda loss_1 loss_2 omega_1 omega_2 loss omega :
  objective lambda loss omega <= objective lambda loss_1 omega_1 ->
  objective lambda loss omega <= objective lambda loss_2 omega_2 ->
  omega_2 <= omega <= omega_1 -> omega_2 < omega_1 ->
  loss <= Bound.supported_points loss_1 loss_2 omega_1 omega_2 omega.
Proof.
  unfold objective, Bound.supported_points. intros H1 H2 B L. apply (Rmult_le_reg_r (omega_1 - omega_2)); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

(* A point whose slopes to all that leak more are at most those to all that leak less, and that nothing which leaks no
   more undercuts, is best at some penalty. *)
Theorem supported_points_converse {A} (loss omega : A -> R) (best : A) :
  (forall a b, omega best < omega a -> omega b < omega best ->
    (loss best - loss a) / (omega a - omega best) <= (loss b - loss best) / (omega best - omega b)) ->
  (forall b, omega b <= omega best -> loss best <= loss b) ->
  (exists b, omega b < omega best) ->
  exists lambda, 0 <= lambda /\
    forall a, objective lambda (loss best) (omega best) <= objective lambda (loss a) (omega a).
Proof.
  intros S E [b0 B0].
  assert (Positive : forall b, omega b < omega best -> 0 <= (loss b - loss best) / (omega best - omega b)).
  { intros b B. apply Rmult_le_pos; [assert (H := E b (Rlt_le _ _ B)); lra|].
    apply Rlt_le, Rinv_0_lt_compat. lra. }
  set (slopes := fun x => x = 0 \/ exists a, omega best < omega a /\ x = (loss best - loss a) / (omega a - omega best)).
  destruct (completeness slopes) as [m [U M]].
  - exists ((loss b0 - loss best) / (omega best - omega b0)). intros x [->|[a [P ->]]]; auto.
  - exists 0. left. auto.
  - exists m. split; [apply U; left; auto|].
    intros c. unfold objective. destruct (Rtotal_order (omega best) (omega c)) as [P|[P|P]].
    + assert (H : (loss best - loss c) / (omega c - omega best) <= m) by (apply U; right; exists c; auto).
      apply (Rmult_le_compat_r (omega c - omega best)) in H; [|lra].
      unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
    + assert (H := E c (Req_le _ _ (eq_sym P))). rewrite P. lra.
    + assert (H : m <= (loss c - loss best) / (omega best - omega c)).
      { apply M. intros x [->|[a [Q ->]]]; auto. }
      apply (Rmult_le_compat_r (omega best - omega c)) in H; [|lra].
      unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
Qed.

Section Mask.
Context {A : Type}.
Variables (loss omega : A -> R) (mask : A) (global : R).
Hypothesis shut : omega mask = 0.
Hypothesis never_negative : forall s, 0 <= omega s.

(* No solution with leakage saves more than that for each unit of it, and none without it saves anything. *)
Definition steepest_at_most : Prop :=
  (forall s, 0 < omega s -> (loss mask - loss s) / omega s <= global) /\ (forall s, omega s = 0 -> loss mask <= loss s).

Theorem hard_mask_cost : steepest_at_most -> forall s, loss mask <= Bound.hard_mask_cost (omega s) (loss s) global.
Proof.
  intros [H Z] s. unfold Bound.hard_mask_cost. destruct (never_negative s) as [P|P].
  - specialize (H s P). apply (Rmult_le_compat_r (omega s)) in H; [|lra].
    unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
  - rewrite <- P. specialize (Z s (eq_sym P)). lra.
Qed.

(* The mask is a global minimiser at every penalty from there on, and at a smaller one only if that bounds them too. *)
Theorem hard_mask_cost_global lambda : 0 <= global -> steepest_at_most -> global <= lambda ->
  forall s, objective lambda (loss mask) (omega mask) <= objective lambda (loss s) (omega s).
Proof.
  intros G H L s. assert (C := hard_mask_cost H s). unfold objective, Bound.hard_mask_cost in *. rewrite shut.
  assert (omega s * global <= omega s * lambda) by (apply Rmult_le_compat_l; auto). lra.
Qed.

Theorem hard_mask_cost_least :
  (forall s, objective global (loss mask) (omega mask) <= objective global (loss s) (omega s)) -> steepest_at_most.
Proof.
  unfold objective. rewrite shut. intros H. split; intros s P; specialize (H s); [|rewrite P in H; lra].
  apply (Rmult_le_reg_r (omega s)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.
End Mask.

(* Means over rows. *)
Definition mean {A} (f : A -> R) (rows : list A) : R := sum f rows / size rows.

Lemma size_pos {A} (rows : list A) : rows <> [] -> 0 < size rows.
Proof. intros H. destruct rows; [congruence|]. unfold size. simpl length. rewrite S_INR. assert (P := pos_INR (length rows)). lra. Qed.

Lemma mean_le {A} (f g : A -> R) rows : rows <> [] -> (forall i, In i rows -> f i <= g i) -> mean f rows <= mean g rows.
Proof.
  intros N H. apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat, size_pos, N|]. apply sum_le, H.
Qed.

(* Markov: leakages that are not negative exceed t in a share of at most mean / t of the rows. *)
Definition above {A} (t : R) (eps : A -> R) (i : A) : bool := if Rle_dec t (eps i) then true else false.

Theorem rows_above {A} (eps : A -> R) rows t e : rows <> [] -> (forall i, In i rows -> 0 <= eps i) -> 0 < t ->
  mean eps rows <= e -> count (above t eps) rows / size rows <= Bound.rows_above e t.
Proof.
  intros N P T M. unfold Bound.rows_above. assert (Z := size_pos rows N).
  assert (H : t * count (above t eps) rows <= sum eps rows).
  { rewrite count_mass, <- mass_scal. apply sum_le. intros i Hi. unfold above. specialize (P i Hi).
    destruct (Rle_dec t (eps i)); lra. }
  apply (Rmult_le_reg_r t); auto. unfold Rdiv at 2. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  apply Rle_trans with (2 := M). unfold mean, Rdiv. replace (count (above t eps) rows * / size rows * t)
    with (t * count (above t eps) rows * / size rows) by ring.
  apply Rmult_le_compat_r; auto. left. apply Rinv_0_lt_compat, Z.
Qed.

(* Attained where a share of the rows leaks exactly t and the others nothing. *)
Theorem rows_above_attained {A} (rows : list A) (hot : A -> bool) t : rows <> [] -> 0 < t ->
  let eps := fun i => if hot i then t else 0 in
  count (above t eps) rows / size rows = Bound.rows_above (mean eps rows) t.
Proof.
  intros N T eps. assert (Z := size_pos rows N).
  assert (E : count (above t eps) rows = count hot rows).
  { rewrite !count_mass. apply sum_ext. intros i _. unfold above, eps. destruct (hot i); destruct (Rle_dec _ _); auto; lra. }
  rewrite E. unfold Bound.rows_above, mean.
  change (sum eps rows) with (mass hot (fun _ => t) rows). rewrite mass_const. field. lra.
Qed.

Section Mixed.
Context {I A : Type}.
Variables (rows : list I) (keys : I -> list A) (block : I -> A -> bool) (p : I -> A -> R).
Hypothesis some : rows <> [].
Hypothesis nonneg : forall i j, In i rows -> In j (keys i) -> 0 <= p i j.
Hypothesis total : forall i, In i rows -> sum (p i) (keys i) = 1.
Local Notation leaked := (mean (fun i => leakage (p i) (block i) (keys i)) rows).
Local Notation entropies := (mean (fun i => entropy (p i) (keys i)) rows).

(* Every row against the code that is 1 in the block and e^-mu outside. *)
Theorem mean_entropy_mixed mu e : 0 <= mu -> leaked <= e ->
  entropies <= mean (fun i => Bound.mean_entropy_mixed (size (keys i)) (count (block i) (keys i)) e mu) rows.
Proof.
  intros M L. set (b := fun i => Bound.mean_entropy_mixed (size (keys i)) (count (block i) (keys i)) 0 mu).
  assert (Z := size_pos rows some).
  apply Rle_trans with (mean (fun i => b i + mu * leakage (p i) (block i) (keys i)) rows).
  - apply mean_le; auto. intros i Hi.
    set (v := fun j => if block i j then 1 else exp (- mu)).
    assert (V : forall j, 0 < v j) by (intros j; unfold v; destruct (block i j); [lra|apply exp_pos]).
    apply Rle_trans with (1 := gibbs_weights (p i) v (keys i) (fun j => nonneg i j Hi) (total i Hi) (fun j _ => V j)).
    assert (S : sum v (keys i) = count (block i) (keys i) + (size (keys i) - count (block i) (keys i)) * exp (- mu)).
    { rewrite (mass_split (block i)), (count_split (block i)), count_mass. f_equal.
      - apply mass_ext. intros j _ B. unfold v. rewrite B. auto.
      - replace (mass (block i) (fun _ => 1) (keys i) + count (outside (block i)) (keys i)
          - mass (block i) (fun _ => 1) (keys i)) with (count (outside (block i)) (keys i)) by ring.
        rewrite <- mass_const. apply mass_ext. intros j _ B. unfold v. unfold outside in B. destruct (block i j); [discriminate|auto]. }
    assert (Q : sum (fun j => p i j * ln (v j)) (keys i) = - mu * leakage (p i) (block i) (keys i)).
    { unfold leakage, mass. rewrite <- sum_scal. apply sum_ext. intros j _. unfold v, outside.
      destruct (block i j); simpl; [rewrite ln_1; ring|rewrite ln_exp; ring]. }
    rewrite S, Q. unfold b, Bound.mean_entropy_mixed. lra.
  - unfold mean in *. rewrite sum_plus, sum_scal.
    rewrite (sum_ext (fun i => Bound.mean_entropy_mixed _ _ e mu) (fun i => b i + mu * e))
      by (intros; unfold b, Bound.mean_entropy_mixed; ring).
    rewrite sum_plus, sum_const. apply (Rmult_le_compat_l mu) in L; auto.
    replace ((sum b rows + size rows * (mu * e)) / size rows) with (sum b rows / size rows + mu * e) by (field; lra).
    replace ((sum b rows + mu * sum (fun i => leakage (p i) (block i) (keys i)) rows) / size rows)
      with (sum b rows / size rows + mu * (sum (fun i => leakage (p i) (block i) (keys i)) rows / size rows)) by (field; lra).
    lra.
Qed.

(* A part of all rows against one code of constant weight c. *)
Lemma part_code (S : I -> A -> bool) c : 0 < c ->
  mean (fun i => mass (S i) (fun j => - (p i j * ln (p i j))) (keys i)) rows
    <= c * mean (fun i => count (S i) (keys i)) rows
       - (1 + ln c) * mean (fun i => mass (S i) (p i) (keys i)) rows.
Proof.
  intros C. assert (Z := size_pos rows some).
  apply Rle_trans with (mean (fun i => c * count (S i) (keys i) - (1 + ln c) * mass (S i) (p i) (keys i)) rows).
  - apply mean_le; auto. intros i Hi. rewrite count_mass, <- !mass_scal. unfold mass. rewrite <- sum_minus. apply sum_le.
    intros j Hj. assert (G := gibbs_term (p i j) c (nonneg i j Hi Hj) C). destruct (S i j); lra.
  - unfold mean. rewrite sum_minus, !sum_scal. right. field. lra.
Qed.

(* With its own mean weight as the code. *)
Lemma part_entropy (S : I -> A -> bool) q k : q = mean (fun i => mass (S i) (p i) (keys i)) rows ->
  k = mean (fun i => count (S i) (keys i)) rows -> 0 < k ->
  mean (fun i => mass (S i) (fun j => - (p i j * ln (p i j))) (keys i)) rows <= q * ln (k / q).
Proof.
  intros Q K Kp. assert (Z := size_pos rows some).
  assert (P : forall i, In i rows -> 0 <= mass (S i) (p i) (keys i)) by (intros; apply mass_nonneg; auto).
  assert (Qn : 0 <= q).
  { rewrite Q. apply Rmult_le_pos; [apply sum_nonneg, P|left; apply Rinv_0_lt_compat, Z]. }
  destruct Qn as [Qp|E].
  - assert (C := part_code S (q / k) ltac:(apply Rdiv_lt_0_compat; auto)). rewrite <- Q, <- K in C.
    rewrite ln_div in * by auto. replace (q / k * k) with q in C by (field; lra). lra.
  - rewrite <- E, Rmult_0_l. assert (T : sum (fun i => mass (S i) (p i) (keys i)) rows = 0).
    { apply (Rmult_eq_reg_r (/ size rows)); [|apply Rgt_not_eq, Rinv_0_lt_compat, Z].
      unfold mean, Rdiv in Q. rewrite <- Q, <- E. ring. }
    right. unfold mean. rewrite sum_all_zero; [unfold Rdiv; ring|]. intros i Hi.
    assert (Ti := sum_zero _ rows P T i Hi). apply sum_all_zero. intros j Hj.
    assert (Pj : forall j, In j (keys i) -> 0 <= (fun j => if S i j then p i j else 0) j).
    { intros j' Hj'. cbv beta. destruct (S i j'); [auto|lra]. }
    assert (Tj := sum_zero _ (keys i) Pj Ti j Hj). cbv beta in Tj.
    destruct (S i j); [rewrite Tj; ring|auto].
Qed.

Hypothesis counts : forall i, In i rows -> 0 < count (block i) (keys i) < size (keys i).

Theorem mean_entropy_split e :
  let n := mean (fun i => size (keys i)) rows in
  let m := mean (fun i => count (block i) (keys i)) rows in
  e = leaked \/ (leaked <= e /\ e * n <= n - m) -> entropies <= Bound.mean_entropy_split n m e.
Proof.
  intros n m H. assert (Z := size_pos rows some). set (eps := leaked) in *.
  assert (Nm : mean (fun i => count (outside (block i)) (keys i)) rows = n - m).
  { unfold n, m, mean. rewrite (sum_ext (fun i => size (keys i)) (fun i => count (block i) (keys i)
      + count (outside (block i)) (keys i))) by (intros; apply count_split). rewrite sum_plus. field. lra. }
  assert (Pos : forall f : I -> R, (forall i, In i rows -> 0 < f i) -> 0 < mean f rows).
  { intros f F. apply Rdiv_lt_0_compat; auto. apply sum_pos; [intros i Hi; left; auto|].
    destruct rows as [|i t]; [congruence|]. exists i. split; [left; auto|apply F; left; auto]. }
  assert (Mp : 0 < m) by (apply Pos; intros i Hi; apply (counts i Hi)).
  assert (Op : 0 < n - m).
  { rewrite <- Nm. apply Pos. intros i Hi. assert (C := counts i Hi). assert (S := count_split (block i) (keys i)). lra. }
  assert (In_ : mean (fun i => mass (block i) (p i) (keys i)) rows = 1 - eps).
  { unfold eps, mean, leakage. replace 1 with (sum (fun _ : I => 1) rows / size rows) by (rewrite sum_const; field; lra).
    unfold Rdiv. rewrite <- Rmult_minus_distr_r, <- sum_minus. f_equal. apply sum_ext. intros i Hi.
    rewrite <- (total i Hi), (mass_split (block i)). ring. }
  assert (Ent : entropies = mean (fun i => mass (block i) (fun j => - (p i j * ln (p i j))) (keys i)) rows
    + mean (fun i => mass (outside (block i)) (fun j => - (p i j * ln (p i j))) (keys i)) rows).
  { unfold mean. rewrite (sum_ext (fun i => entropy (p i) (keys i)) _ rows (fun i _ => entropy_split_mass (block i) (p i) (keys i))).
    rewrite sum_plus. field. lra. }
  rewrite Ent. unfold Bound.mean_entropy_split. destruct H as [E|[L C]].
  - assert (B := part_entropy block (1 - eps) m (eq_sym In_) eq_refl Mp).
    assert (O := part_entropy (fun i => outside (block i)) eps (n - m) eq_refl (eq_sym Nm) Op). rewrite E. lra.
  - assert (E0 : 0 <= eps).
    { apply Rmult_le_pos; [|left; apply Rinv_0_lt_compat, Z]. apply sum_nonneg. intros i Hi. apply mass_nonneg. auto. }
    assert (E1 : e < 1) by nra. destruct (Rle_lt_or_eq_dec 0 e ltac:(lra)) as [Ep|Ez].
    + assert (B := part_code block ((1 - e) / m) ltac:(apply Rdiv_lt_0_compat; lra)).
      assert (O := part_code (fun i => outside (block i)) (e / (n - m)) ltac:(apply Rdiv_lt_0_compat; lra)).
      fold m in B. cbv beta in O. rewrite In_ in B. rewrite Nm in O.
      change (mean (fun i => mass (outside (block i)) (p i) (keys i)) rows) with eps in O.
      rewrite !ln_div in * by lra.
      replace ((1 - e) / m * m) with (1 - e) in B by (field; lra).
      replace (e / (n - m) * (n - m)) with e in O by (field; lra).
      assert (D : ln e - ln (n - m) <= ln (1 - e) - ln m).
      { rewrite <- !ln_div by lra. apply ln_le; [apply Rdiv_lt_0_compat; lra|].
        apply (Rmult_le_reg_r (m * (n - m))); [sign|].
        replace (e / (n - m) * (m * (n - m))) with (e * m) by (field; lra).
        replace ((1 - e) / m * (m * (n - m))) with ((1 - e) * (n - m)) by (field; lra). nra. }
      assert (F : 0 <= (e - eps) * (ln (1 - e) - ln m - (ln e - ln (n - m)))) by (apply Rmult_le_pos; lra). lra.
    + assert (Es : e = eps) by lra.
      assert (B := part_entropy block (1 - eps) m (eq_sym In_) eq_refl Mp).
      assert (O := part_entropy (fun i => outside (block i)) eps (n - m) eq_refl (eq_sym Nm) Op). rewrite Es. lra.
Qed.
End Mixed.

(* Instances. *)
Example penalised_leakage_instance : 1 / 4 <= Bound.penalised_leakage 2 1 (1 / 2).
Proof. apply penalised_leakage; unfold objective; lra. Qed.

Example exchange_leakage_instance : 1 <= Bound.exchange_leakage 2.
Proof. apply (exchange_leakage (1 / 2) 2 1 2); unfold objective; lra. Qed.

Example exchange_rate_instance : Bound.exchange_rate 1 2 2 1 <= 2.
Proof. apply (exchange_rate 2 1 2 2 1); unfold objective; lra. Qed.

Example supported_points_instance : 1 <= Bound.supported_points 0 4 2 0 1.
Proof. apply (supported_points 2 0 4 2 0 1 1); unfold objective; lra. Qed.

(* Gates from 0 to 1 whose loss falls by their leakage: a slope of 1. *)
Example hard_mask_cost_instance : forall s,
  3 <= Bound.hard_mask_cost (Rabs s) (3 - Rabs s) 1.
Proof.
  intros s. assert (H := hard_mask_cost (fun s => 3 - Rabs s) Rabs 0 1 Rabs_pos).
  cbv beta in H. rewrite Rabs_R0, Rminus_0_r in H. apply H. split.
  - cbv beta. intros t P. right. rewrite Rabs_R0. field. lra.
  - cbv beta. intros t P. rewrite P, Rabs_R0. lra.
Qed.

Example rows_above_instance : count (above (1 / 2) (fun b : bool => if b then 1 / 2 else 0)) [true; false] / size [true; false]
  <= Bound.rows_above (1 / 4) (1 / 2).
Proof.
  apply rows_above; try lra; [discriminate| |].
  - intros [|] _; lra.
  - unfold mean, size. simpl. lra.
Qed.

(* One row of two keys, the first its block, each with half of the attention. *)
Definition even (_ : unit) (_ : bool) : R := 1 / 2.
Definition first (key : bool) : bool := key.

Lemma even_leakage : mean (fun i => leakage (even i) first [true; false]) [tt] = 1 / 2.
Proof. unfold mean, leakage, mass, outside, even, size, first. simpl. field. Qed.

Example mean_entropy_split_instance : mean (fun i => entropy (even i) [true; false]) [tt]
  <= Bound.mean_entropy_split (mean (fun _ => size [true; false]) [tt]) (mean (fun _ => count first [true; false]) [tt]) (1 / 2).
Proof.
  apply (mean_entropy_split [tt] (fun _ => [true; false]) (fun _ => first) even); try discriminate; unfold even.
  - intros. lra.
  - intros. simpl. lra.
  - intros. unfold count, size, first. simpl. lra.
  - left. symmetry. apply even_leakage.
Qed.

Example mean_entropy_mixed_instance : mean (fun i => entropy (even i) [true; false]) [tt]
  <= mean (fun _ => Bound.mean_entropy_mixed (size [true; false]) (count first [true; false]) (1 / 2) 1) [tt].
Proof.
  apply (mean_entropy_mixed [tt] (fun _ => [true; false]) (fun _ => first) even); try discriminate; try lra; unfold even.
  - intros. lra.
  - intros. simpl. lra.
  - right. apply even_leakage.
Qed.
