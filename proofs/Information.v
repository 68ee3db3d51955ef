(* Inequalities of the logarithm, and Gibbs: no code is shorter than that of the law itself. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import Sums Attention.
Open Scope R_scope.

Lemma ln_below y : 0 < y -> ln y <= y - 1.
Proof. intros H. assert (E := exp_ineq1_le (ln y)). rewrite exp_ln in E; lra. Qed.

Lemma ln_above y : 0 < y -> 1 - / y <= ln y.
Proof. intros H. assert (E := ln_below (/ y) (Rinv_0_lt_compat y H)). rewrite ln_Rinv in E; lra. Qed.

Lemma ln_div x y : 0 < x -> 0 < y -> ln (x / y) = ln x - ln y.
Proof.
  intros Hx Hy. unfold Rdiv. rewrite ln_mult, ln_Rinv; [ring|auto|auto|]. apply Rinv_0_lt_compat, Hy.
Qed.

(* -p ln p <= (c - p) - p ln c: the tangent at c lies above. *)
Lemma gibbs_term p c : 0 <= p -> 0 < c -> - (p * ln p) <= (c - p) - p * ln c.
Proof.
  intros [P| <-] C; [|lra].
  assert (Q : 0 < c / p) by (apply Rdiv_lt_0_compat; auto).
  assert (H := ln_below (c / p) Q). rewrite ln_div in H by auto.
  apply (Rmult_le_compat_l p) in H; [|lra].
  replace (p * (c / p - 1)) with (c - p) in H by (field; lra). lra.
Qed.

(* Two laws of the same total mass. *)
Lemma gibbs_on {A} S (p c : A -> R) l :
  (forall j, In j l -> S j = true -> 0 <= p j) -> (forall j, In j l -> S j = true -> 0 < c j) ->
  mass S c l = mass S p l ->
  mass S (fun j => - (p j * ln (p j))) l <= mass S (fun j => - (p j * ln (c j))) l.
Proof.
  intros P C E.
  apply Rle_trans with (mass S (fun j => (c j + - p j) + - (p j * ln (c j))) l).
  - apply mass_le. intros j Hj Sj. assert (G := gibbs_term (p j) (c j) (P j Hj Sj) (C j Hj Sj)). lra.
  - rewrite !mass_plus, !mass_opp. lra.
Qed.

Lemma gibbs {A} (p c : A -> R) l :
  (forall j, In j l -> 0 <= p j) -> (forall j, In j l -> 0 < c j) -> sum c l = sum p l ->
  entropy p l <= - sum (fun j => p j * ln (c j)) l.
Proof.
  intros P C E. assert (G := gibbs_on (fun _ => true) p c l). unfold mass in G.
  unfold entropy. rewrite <- !sum_opp. apply G; auto.
Qed.

(* Gibbs with weights that need not be normalised. *)
Lemma gibbs_weights {A} (p v : A -> R) l :
  (forall j, In j l -> 0 <= p j) -> sum p l = 1 -> (forall j, In j l -> 0 < v j) ->
  entropy p l <= ln (sum v l) - sum (fun j => p j * ln (v j)) l.
Proof.
  intros P E V.
  assert (N : exists j, In j l) by (destruct l as [|j l]; [simpl in E; lra|exists j; simpl; auto]).
  assert (T := total_pos v l V N).
  apply Rle_trans with (1 := gibbs p (attention v l) l P (attention_pos v l V N)
    ltac:(rewrite E; apply attention_sum; auto)).
  unfold attention. rewrite (sum_ext _ (fun j => p j * ln (v j) - p j * ln (sum v l))).
  - rewrite sum_minus, sum_scal_r, E. lra.
  - intros j Hj. rewrite ln_div by auto. ring.
Qed.

(* The entropy of normalised weights. *)
Lemma entropy_attention {A} (v : A -> R) l : (exists j, In j l) -> (forall j, In j l -> 0 < v j) ->
  entropy (attention v l) l = ln (sum v l) - sum (fun j => v j * ln (v j)) l / sum v l.
Proof.
  intros N V. assert (T := total_pos v l V N). unfold entropy, attention.
  rewrite (sum_ext _ (fun j => v j * ln (v j) / sum v l - ln (sum v l) / sum v l * v j)).
  - rewrite sum_minus, sum_div, sum_scal. field. lra.
  - intros j Hj. rewrite ln_div by auto. field. lra.
Qed.

Lemma entropy_softmax {A} (s : A -> R) l : (exists j, In j l) ->
  entropy (softmax s 1 l) l =
  ln (sum (fun j => exp (s j)) l) - sum (fun j => exp (s j) * s j) l / sum (fun j => exp (s j)) l.
Proof.
  intros N. unfold softmax.
  rewrite (sum_ext (fun j => exp (s j)) (fun j => exp (s j / 1))) by (intros; f_equal; field).
  rewrite entropy_attention by (auto; intros; apply exp_pos). f_equal. f_equal.
  apply sum_ext. intros j _. rewrite ln_exp. unfold Rdiv. rewrite Rinv_1, Rmult_1_r. auto.
Qed.

(* An even spread has the largest entropy. *)
Lemma even_spread {A} S (p : A -> R) l q :
  (forall j, In j l -> S j = true -> 0 <= p j) -> mass S p l = q -> 0 < q -> 0 < count S l ->
  mass S (fun j => - (p j * ln (p j))) l <= - (q * ln (q / count S l)).
Proof.
  intros P E Q C. assert (D : 0 < q / count S l) by (apply Rdiv_lt_0_compat; auto).
  apply Rle_trans with (1 := gibbs_on S p (fun _ => q / count S l) l P (fun _ _ _ => D)
    ltac:(rewrite mass_const, E; field; lra)).
  rewrite (mass_ext S _ (fun j => - ln (q / count S l) * p j)) by (intros; ring).
  rewrite mass_scal, E. lra.
Qed.

Lemma entropy_split_mass {A} S (p : A -> R) l :
  entropy p l = mass S (fun j => - (p j * ln (p j))) l + mass (outside S) (fun j => - (p j * ln (p j))) l.
Proof. unfold entropy. rewrite <- sum_opp. apply mass_split. Qed.

Lemma entropy_below_log_size {A} (p : A -> R) l :
  (forall j, In j l -> 0 <= p j) -> sum p l = 1 -> entropy p l <= ln (size l).
Proof.
  intros P E. apply Rle_trans with (1 := gibbs_weights p (fun _ => 1) l P E ltac:(intros; lra)).
  rewrite sum_const, Rmult_1_r, sum_all_zero; [lra|]. intros. rewrite ln_1. ring.
Qed.

(* -p ln p is concave. *)
Lemma entropy_term_concave t a b : 0 <= t <= 1 -> 0 <= a -> 0 <= b -> 0 < t * a + (1 - t) * b ->
  t * - (a * ln a) + (1 - t) * - (b * ln b) <= - ((t * a + (1 - t) * b) * ln (t * a + (1 - t) * b)).
Proof.
  intros T A B P. set (p := t * a + (1 - t) * b) in *.
  assert (G := gibbs_term a p A P). assert (K := gibbs_term b p B P).
  apply Rle_trans with (t * (p - a - a * ln p) + (1 - t) * (p - b - b * ln p)).
  - apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
  - right. unfold p. ring.
Qed.
