(* Levels A, B and C of the penalty: no cross gradient exceeds them (claim C3). Mirrors bounds/penalty/theorems
   and the gradient bounds of penalty_global.py.

   grad_bc = (1/tau) E_i [ x_i^(b) Cov_(j ~ a_i)(u_ij, x_j^(c))^T ],  u_ij = <gradient at the output, v_j>.
   |Cov(u, y)| <= range(u) E(y - Ey)^+, and E(y - Ey)^+ is at most a quarter of the range of y (Gruess); if y vanishes
   off a mass eps and |y| <= X it is at most X phi(eps). Vectors follow by testing with unit directions. *)

Require Import Reals Lra Psatz List Bool Lia.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Vectors Attention Penalty.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

Section Law.
Context {K : Type}.
Variables (keys : list K) (a : K -> R).
Hypothesis law_nonneg : forall j, In j keys -> 0 <= a j.
Hypothesis law_total : sum a keys = 1.

Definition mean (y : K -> R) : R := sum (fun j => a j * y j) keys.
Definition cov (u y : K -> R) : R := mean (fun j => u j * y j) - mean u * mean y.
Definition above (y : K -> R) : R := mean (fun j => Rmax 0 (y j - mean y)).

Lemma mean_const c : mean (fun _ => c) = c.
Proof. unfold mean. rewrite sum_scal_r, law_total. ring. Qed.
Lemma mean_plus f g : mean (fun j => f j + g j) = mean f + mean g.
Proof. unfold mean. rewrite <- sum_plus. apply sum_ext. intros. ring. Qed.
Lemma mean_scal c f : mean (fun j => c * f j) = c * mean f.
Proof. unfold mean. rewrite <- sum_scal. apply sum_ext. intros. ring. Qed.
Lemma mean_le f g : (forall j, In j keys -> f j <= g j) -> mean f <= mean g.
Proof. intros H. apply sum_le. intros j Hj. apply Rmult_le_compat_l; auto. Qed.
Lemma mean_opp f : mean (fun j => - f j) = - mean f.
Proof. unfold mean. rewrite <- sum_opp. apply sum_ext. intros. ring. Qed.
Lemma mean_ext f g : (forall j, In j keys -> f j = g j) -> mean f = mean g.
Proof. intros H. apply sum_ext. intros j Hj. rewrite H; auto. Qed.

(* What lies above the mean equals what lies below. *)
Lemma above_below y : above y = mean (fun j => Rmax 0 (mean y - y j)).
Proof.
  unfold above. apply Rminus_diag_uniq. unfold Rminus at 1. rewrite <- mean_opp, <- mean_plus.
  rewrite (mean_ext _ (fun j => y j + - mean y)).
  - rewrite mean_plus, mean_const. ring.
  - intros j _. unfold Rmax. destruct (Rle_dec 0 (y j - mean y)), (Rle_dec 0 (mean y - y j)); lra.
Qed.

Lemma above_opp y : above (fun j => - y j) = above y.
Proof. rewrite above_below. unfold above. rewrite mean_opp. apply mean_ext. intros. f_equal. ring. Qed.

Lemma above_nonneg y : 0 <= above y.
Proof. rewrite <- (mean_const 0). apply mean_le. intros. apply Rmax_l. Qed.

Lemma cov_above u y rho : (forall j k, In j keys -> In k keys -> u j - u k <= rho) -> cov u y <= rho * above y.
Proof.
  intros H. destruct keys as [|j0 l] eqn:Ek.
  - simpl in law_total. lra.
  - rewrite <- Ek in *. destruct (least u keys) as [b [Hb B]]; [rewrite Ek; discriminate|].
    assert (E : cov u y = mean (fun j => (u j - u b) * (y j - mean y))).
    { unfold cov. rewrite (mean_ext (fun j => (u j - u b) * _)
        (fun j => u j * y j + (- mean y * u j + (- u b * y j + u b * mean y)))) by (intros; ring).
      rewrite !mean_plus, !mean_scal, mean_const. ring. }
    rewrite E. unfold above. rewrite <- mean_scal. apply mean_le. intros j Hj. specialize (H j b Hj Hb).
    specialize (B j Hj). assert (M := Rmax_l 0 (y j - mean y)). assert (M' := Rmax_r 0 (y j - mean y)).
    apply Rle_trans with ((u j - u b) * Rmax 0 (y j - mean y)); [apply Rmult_le_compat_l|apply Rmult_le_compat_r]; lra.
Qed.

(* The share of the mass above the mean, and E(y - Ey)^+ against it. *)
Definition share_above (y : K -> R) : R := mean (fun j => if Rlt_dec (mean y) (y j) then 1 else 0).

Lemma share_bounds y : 0 <= share_above y <= 1.
Proof.
  split; [rewrite <- (mean_const 0)|rewrite <- (mean_const 1)]; apply mean_le; intros j _;
    destruct (Rlt_dec (mean y) (y j)); lra.
Qed.

Lemma above_top y top : (forall j, In j keys -> y j <= top) -> above y <= share_above y * (top - mean y).
Proof.
  intros H. unfold above, share_above. rewrite (Rmult_comm (mean _)), <- mean_scal. apply mean_le. intros j Hj.
  specialize (H j Hj). unfold Rmax. destruct (Rle_dec 0 (y j - mean y)), (Rlt_dec (mean y) (y j)); lra.
Qed.

(* Gruess: a quarter of the range. *)
Lemma above_quarter y d : (forall j k, In j keys -> In k keys -> y j - y k <= d) -> above y <= d / 4.
Proof.
  intros H. destruct keys as [|j0 l] eqn:Ek; [simpl in law_total; lra|]. rewrite <- Ek in *.
  destruct (least y keys) as [b [Hb B]]; [rewrite Ek; discriminate|].
  assert (T := above_top y (y b + d) ltac:(intros j Hj; specialize (H j b Hj Hb); lra)).
  assert (L : above y <= (1 - share_above y) * (mean y - y b)).
  { rewrite above_below. unfold share_above.
    replace (1 - mean (fun j => if Rlt_dec (mean y) (y j) then 1 else 0))
      with (mean (fun j => if Rlt_dec (mean y) (y j) then 0 else 1)).
    - rewrite (Rmult_comm (mean _)), <- mean_scal. apply mean_le. intros j Hj. specialize (B j Hj).
      unfold Rmax. destruct (Rle_dec 0 (mean y - y j)), (Rlt_dec (mean y) (y j)); lra.
    - transitivity (mean (fun j => 1 + - (if Rlt_dec (mean y) (y j) then 1 else 0))).
      + apply mean_ext. intros j _. destruct (Rlt_dec (mean y) (y j)); ring.
      + rewrite mean_plus, mean_opp, mean_const. ring. }
  assert (S := share_bounds y). set (p := share_above y) in *. set (m := mean y) in *.
  assert (D : 0 <= d) by (specialize (H b b Hb Hb); lra).
  assert (Q : above y <= p * (1 - p) * d).
  { apply Rle_trans with ((1 - p) * (p * (y b + d - m)) + p * ((1 - p) * (m - y b))); [nra|right; ring]. }
  assert (P := pow2_ge_0 (p - 1 / 2)). nra.
Qed.

(* y vanishes off a mass eps, and |y| <= X. *)
Lemma above_three_points_up y (S : K -> bool) X eps : 0 <= mean y -> 0 <= X -> mass S a keys = eps ->
  (forall j, In j keys -> Rabs (y j) <= X) -> (forall j, In j keys -> S j = false -> y j = 0) ->
  exists p, 0 <= p <= eps /\ above y <= X * (p * (1 + eps - 2 * p)).
Proof.
  intros M HX E B Z. exists (share_above y). assert (Sh := share_bounds y).
  assert (Bj : forall j, In j keys -> - X <= y j <= X).
  { intros j Hj. specialize (B j Hj). split; [|assert (Q := Rle_abs (y j)); lra].
    assert (Q := Rle_abs (- y j)). rewrite Rabs_Ropp in Q. lra. }
  assert (Pe : share_above y <= eps).
  { rewrite <- E. apply sum_le. intros j Hj. specialize (law_nonneg j Hj). destruct (S j) eqn:Sj.
    - destruct (Rlt_dec (mean y) (y j)); lra.
    - rewrite (Z j Hj Sj). destruct (Rlt_dec (mean y) 0); lra. }
  split; [lra|].
  assert (T := above_top y X ltac:(intros j Hj; apply Bj, Hj)).
  (* the mean is at least what lies above it, less what X can take away on the rest of the mass eps *)
  assert (L : above y + share_above y * mean y - (eps - share_above y) * X <= mean y).
  { set (chi := fun j => if Rlt_dec (mean y) (y j) then 1 else 0). set (sig := fun j => if S j then 1 else 0).
    assert (L0 : mean (fun j => Rmax 0 (y j - mean y) + (mean y * chi j + (X * chi j + - X * sig j))) <= mean y).
    { apply mean_le. intros j Hj. specialize (Bj j Hj). unfold chi, sig, Rmax.
      destruct (S j) eqn:Sj; [|rewrite (Z j Hj Sj)].
      - destruct (Rlt_dec (mean y) (y j)), (Rle_dec 0 (y j - mean y)); lra.
      - destruct (Rlt_dec (mean y) 0), (Rle_dec 0 (0 - mean y)); lra. }
    rewrite !mean_plus, !mean_scal in L0.
    assert (Es : mean sig = eps).
    { rewrite <- E. unfold mean, sig, mass. apply sum_ext. intros j _. destruct (S j); ring. }
    change (mean (fun j => Rmax 0 (y j - mean y))) with (above y) in L0.
    change (mean chi) with (share_above y) in L0. rewrite Es in L0. lra. }
  set (p := share_above y) in *. set (m := mean y) in *. nra.
Qed.

Lemma phi_covers p eps : 0 <= p <= eps -> eps <= 1 -> p * (1 + eps - 2 * p) <= Form.phi eps.
Proof.
  intros P E. unfold Form.phi. assert (Q := pow2_ge_0 (p - (1 + eps) / 4)).
  destruct (Rle_dec eps (1 / 3)); [nra|]. replace ((eps + 1) ^ 2 / 8) with ((1 + eps) ^ 2 / 8) by (field; lra). nra.
Qed.

Lemma above_three_points y (S : K -> bool) X eps : 0 <= X -> mass S a keys = eps -> eps <= 1 ->
  (forall j, In j keys -> Rabs (y j) <= X) -> (forall j, In j keys -> S j = false -> y j = 0) ->
  above y <= X * Form.phi eps.
Proof.
  intros HX E E1 B Z.
  assert (H : exists p, 0 <= p <= eps /\ above y <= X * (p * (1 + eps - 2 * p))).
  { destruct (Rle_lt_dec 0 (mean y)) as [M|M]; [apply (above_three_points_up y S X eps M HX E B Z)|].
    destruct (above_three_points_up (fun j => - y j) S X eps) as [p [P Q]]; auto.
    - rewrite mean_opp. lra.
    - intros j Hj. rewrite Rabs_Ropp. auto.
    - intros j Hj Sj. rewrite (Z j Hj Sj). ring.
    - exists p. rewrite above_opp in Q. auto. }
  destruct H as [p [P Q]]. apply Rle_trans with (1 := Q). apply Rmult_le_compat_l; auto. apply phi_covers; auto.
Qed.
End Law.

(* The head: queries, each with an attention row, a gradient at its output and features; keys with values and features. *)
Section Head.
Context {Q K B C V : Type}.
Variables (queries : list Q) (keys : list K) (block_coords : list B) (key_coords : list C) (value_coords : list V).
Variables (a : Q -> K -> R) (out_gradient : Q -> V -> R) (value : K -> V -> R) (x : Q -> B -> R) (y : K -> C -> R).
Variable tau : R.
Hypothesis tau_pos : 0 < tau.
Hypothesis queries_some : queries <> [].
Hypothesis rows_nonneg : forall i j, In i queries -> In j keys -> 0 <= a i j.
Hypothesis rows_total : forall i, In i queries -> sum (a i) keys = 1.

Definition u (i : Q) (j : K) : R := dot value_coords (out_gradient i) (value j).
Definition cov_vector (i : Q) (c : C) : R := cov keys (a i) (u i) (fun j => y j c).
Definition cross_gradient (p : B * C) : R :=
  / tau * (/ size queries * sum (fun i => x i (fst p) * cov_vector i (snd p)) queries).
Definition pairs := list_prod block_coords key_coords.

Lemma queries_pos : 0 < size queries.
Proof. unfold size. apply lt_0_INR. destruct queries; simpl; [congruence|lia]. Qed.

Lemma cov_sum (w : Q -> K -> R) i (f : C -> R) : cov keys (w i) (u i) (fun j => sum (fun c => f c * y j c) key_coords)
  = sum (fun c => f c * cov keys (w i) (u i) (fun j => y j c)) key_coords.
Proof.
  unfold cov, mean. rewrite (sum_ext _ (fun c => f c * sum (fun j => w i j * (u i j * y j c)) keys
    - f c * (sum (fun j => w i j * u i j) keys * sum (fun j => w i j * y j c) keys))) by (intros; ring).
  rewrite sum_minus. f_equal.
  - rewrite (sum_ext _ (fun j => sum (fun c => f c * (w i j * (u i j * y j c))) key_coords)).
    + rewrite sum_swap. apply sum_ext. intros c _. apply sum_scal.
    + intros j _. rewrite <- sum_scal, <- sum_scal. apply sum_ext. intros. ring.
  - rewrite (sum_ext (fun j => w i j * sum _ key_coords) (fun j => sum (fun c => f c * (w i j * y j c)) key_coords)).
    + rewrite sum_swap, <- sum_scal. apply sum_ext. intros c _. rewrite sum_scal. ring.
    + intros j _. rewrite <- sum_scal. apply sum_ext. intros. ring.
Qed.

(* Range of u, and the covariance vector. *)
Lemma u_range i G Vd : norm value_coords (out_gradient i) <= G ->
  (forall j k, In j keys -> In k keys -> norm value_coords (fun v => value j v - value k v) <= Vd) ->
  forall j k, In j keys -> In k keys -> u i j - u i k <= G * Vd.
Proof.
  intros HG HV j k Hj Hk. unfold u. rewrite <- dot_minus_r. apply Rle_trans with (1 := cauchy_schwarz _ _ _).
  apply Rmult_le_compat; auto; apply norm_nonneg.
Qed.

Lemma cov_vector_bound i rho s : In i queries -> 0 <= rho -> 0 <= s ->
  (forall j k, In j keys -> In k keys -> u i j - u i k <= rho) ->
  (forall d, norm key_coords d <= 1 -> above keys (a i) (fun j => sum (fun c => d c * y j c) key_coords) <= s) ->
  norm key_coords (cov_vector i) <= rho * s.
Proof.
  intros Hi R0 S0 H S. apply norm_by_dual; [apply Rmult_le_pos; auto|]. intros d D. rewrite dot_comm.
  replace (dot key_coords d (cov_vector i))
    with (cov keys (a i) (u i) (fun j => sum (fun c => d c * y j c) key_coords)) by apply cov_sum.
  apply Rle_trans with (rho * above keys (a i) (fun j => sum (fun c => d c * y j c) key_coords)).
  - apply cov_above; auto.
  - apply Rmult_le_compat_l; auto.
Qed.

(* In a direction of norm 1 keys are D_c apart at most, and at most X_c from 0. *)
Lemma direction_range d D : norm key_coords d <= 1 ->
  (forall j k, In j keys -> In k keys -> norm key_coords (fun c => y j c - y k c) <= D) ->
  forall j k, In j keys -> In k keys -> sum (fun c => d c * y j c) key_coords - sum (fun c => d c * y k c) key_coords <= D.
Proof.
  intros N H j k Hj Hk. change (dot key_coords d (y j) - dot key_coords d (y k) <= D). rewrite <- dot_minus_r.
  apply Rle_trans with (1 := cauchy_schwarz _ _ _). assert (P := norm_nonneg key_coords d).
  assert (P' := norm_nonneg key_coords (fun c => y j c - y k c)). specialize (H j k Hj Hk). nra.
Qed.
Lemma direction_size d X : norm key_coords d <= 1 -> (forall j, In j keys -> norm key_coords (y j) <= X) ->
  forall j, In j keys -> Rabs (sum (fun c => d c * y j c) key_coords) <= X.
Proof.
  intros N H j Hj. apply Rle_trans with (1 := cauchy_schwarz_abs key_coords d (y j)).
  assert (P := norm_nonneg key_coords d). assert (P' := norm_nonneg key_coords (y j)). specialize (H j Hj). nra.
Qed.

(* The norm of the gradient is at most the mean of the products of norms. *)
Lemma gradient_by_rows :
  norm pairs cross_gradient <= / tau * (/ size queries
    * sum (fun i => norm block_coords (x i) * norm key_coords (cov_vector i)) queries).
Proof.
  assert (N := queries_pos). unfold cross_gradient.
  rewrite (norm_ext pairs _ (fun p => / tau * / size queries * sum (fun i => x i (fst p) * cov_vector i (snd p)) queries))
    by (intros; ring).
  rewrite norm_scal, Rabs_right by (apply Rle_ge; sign). rewrite <- Rmult_assoc. apply Rmult_le_compat_l; [sign|].
  apply Rle_trans with (1 := norm_sum pairs (fun i p => x i (fst p) * cov_vector i (snd p)) queries).
  right. apply sum_ext. intros i _. apply norm_rank_one.
Qed.

Section Levels.
Variables (G Vd X_query X_key D_key : R) (in_block : Q -> bool).
Hypothesis gradients : forall i, In i queries -> norm value_coords (out_gradient i) <= G.
Hypothesis values : forall j k, In j keys -> In k keys -> norm value_coords (fun v => value j v - value k v) <= Vd.
Hypothesis query_features : forall i, In i queries -> norm block_coords (x i) <= X_query.
Hypothesis other_queries : forall i p, In i queries -> in_block i = false -> In p block_coords -> x i p = 0.
Hypothesis key_features : forall j, In j keys -> norm key_coords (y j) <= X_key.
Hypothesis key_diameter : forall j k, In j keys -> In k keys -> norm key_coords (fun c => y j c - y k c) <= D_key.
Hypothesis some_key : exists j, In j keys.
Local Notation share := (count in_block queries / size queries).

Lemma signs : 0 <= G * Vd /\ 0 <= X_query /\ 0 <= X_key /\ 0 <= D_key.
Proof.
  destruct some_key as [j Hj]. destruct queries as [|i l] eqn:E; [congruence|]. rewrite <- E in *.
  assert (Hi : In i queries) by (rewrite E; simpl; auto).
  assert (A := norm_nonneg value_coords (out_gradient i)). specialize (gradients i Hi).
  assert (A2 := norm_nonneg value_coords (fun v => value j v - value j v)). specialize (values j j Hj Hj).
  assert (A3 := norm_nonneg block_coords (x i)). specialize (query_features i Hi).
  assert (A4 := norm_nonneg key_coords (y j)). specialize (key_features j Hj).
  assert (A5 := norm_nonneg key_coords (fun c => y j c - y j c)). specialize (key_diameter j j Hj Hj).
  repeat split; try lra. apply Rmult_le_pos; lra.
Qed.

(* From a bound on what lies above the mean, in every direction and for every query. *)
Lemma gradient_from_spread s : (forall i, In i queries -> 0 <= s i) ->
  (forall i d, In i queries -> in_block i = true -> norm key_coords d <= 1 ->
    above keys (a i) (fun j => sum (fun c => d c * y j c) key_coords) <= s i) ->
  norm pairs cross_gradient <= / tau * (/ size queries * (X_query * (G * Vd) * mass in_block s queries)).
Proof.
  intros S0 S. assert (N := queries_pos). destruct signs as (GV & Xq & _). apply Rle_trans with (1 := gradient_by_rows).
  apply Rmult_le_compat_l; [left; sign|]. apply Rmult_le_compat_l; [left; sign|].
  unfold mass. rewrite <- sum_scal. apply sum_le. intros i Hi. destruct (in_block i) eqn:E.
  - assert (Cv := cov_vector_bound i (G * Vd) (s i) Hi GV (S0 i Hi) (u_range i G Vd (gradients i Hi) values)
      (fun d D => S i d Hi E D)).
    rewrite Rmult_assoc. apply Rmult_le_compat; auto; apply norm_nonneg.
  - rewrite (norm_ext block_coords (x i) (fun _ => 0)) by (intros; apply other_queries; auto). rewrite norm_null.
    rewrite Rmult_0_l, Rmult_0_r. lra.
Qed.

Theorem worst_case_gradient :
  norm pairs cross_gradient <= Bound.worst_case_gradient tau G Vd X_query X_key D_key share.
Proof.
  destruct signs as (GV & Xq & Xk & Dk). assert (N := queries_pos).
  assert (M0 : 0 <= Rmin (D_key / 4) (X_key / 2)) by (apply Rmin_glb; lra).
  assert (H := gradient_from_spread (fun _ => Rmin (D_key / 4) (X_key / 2)) (fun _ _ => M0)).
  rewrite mass_const in H. unfold Bound.worst_case_gradient.
  apply Rle_trans with (/ tau * (/ size queries * (X_query * (G * Vd) * (count in_block queries * Rmin (D_key / 4) (X_key / 2)))));
    [|right; field; lra].
  apply H. intros i d Hi _ D. apply Rmin_glb.
  - apply above_quarter; auto. apply direction_range; auto.
  - replace (X_key / 2) with (2 * X_key / 4) by field. apply above_quarter; auto. intros j k Hj Hk.
    assert (A1 := direction_size d X_key D key_features j Hj). assert (A2 := direction_size d X_key D key_features k Hk).
    assert (B1 := Rle_abs (sum (fun c => d c * y j c) key_coords)).
    assert (B2 := Rle_abs (- sum (fun c => d c * y k c) key_coords)). rewrite Rabs_Ropp in B2. lra.
Qed.

(* Level B: keys hold features in their own block only, so y vanishes off a mass eps_i. *)
Variable key_block : K -> bool.
Hypothesis localist : forall j c, In j keys -> key_block j = false -> In c key_coords -> y j c = 0.
Local Notation eps i := (mass key_block (a i) keys).

Lemma eps_bounds i : In i queries -> 0 <= eps i <= 1.
Proof.
  intros Hi. split; [apply mass_nonneg; auto|]. rewrite <- (rows_total i Hi).
  apply sum_le. intros j Hj. specialize (rows_nonneg i j Hi Hj). destruct (key_block j); lra.
Qed.

(* The concave majorant lies below each of its tangents, and phi below all of them. *)
Definition tangent (e0 e : R) : R :=
  if Rle_dec e0 (1 - sqrt 2 / 2) then e0 * (1 - e0) + (1 - 2 * e0) * (e - e0) else e * (sqrt 2 - 1) + 3 / 2 - sqrt 2.

Lemma sqrt_two : sqrt 2 * sqrt 2 = 2 /\ 1.41 < sqrt 2 < 1.42.
Proof.
  assert (S := sqrt_sqrt 2 ltac:(lra)). assert (P := sqrt_pos 2). split; auto. split; nra.
Qed.

Lemma phi_below_tangent e0 e : 0 <= e0 <= 1 -> 0 <= e <= 1 -> Form.phi e <= tangent e0 e.
Proof.
  intros E0 E. destruct sqrt_two as [S [L U]]. set (r := sqrt 2) in *. unfold Form.phi, tangent. fold r.
  assert (P := pow2_ge_0 (e - e0)). assert (P' := pow2_ge_0 (e - (1 - r / 2))).
  destruct (Rle_dec e (1 / 3)) as [H|H], (Rle_dec e0 (1 - r / 2)) as [H0|H0]; try nra.
  - (* e > 1/3: convex in e, so the ends 1/3 and 1 suffice *)
    assert (T : (1 - e0) * (1 - e0) >= 1 / 2) by nra.
    assert (Kc : (e + 1) ^ 2 / 8 <= ((1 - e) * 3 / 2) * (2 / 9) + ((e - 1 / 3) * 3 / 2) * (1 / 2)) by nra.
    assert (K2 : 2 / 9 <= e0 * (1 - e0) + (1 - 2 * e0) * (1 / 3 - e0)) by (assert (Z := pow2_ge_0 (e0 - 1 / 3)); nra).
    nra.
Qed.

Lemma tangent_touches e0 : tangent e0 e0 = Form.phi_majorant e0.
Proof. unfold tangent, Form.phi_majorant. destruct (Rle_dec e0 (1 - sqrt 2 / 2)); ring. Qed.

Theorem leakage_aware_gradient : 0 < count in_block queries ->
  norm pairs cross_gradient <= Bound.leakage_aware_gradient
    (mass in_block (fun i => eps i) queries / count in_block queries) tau G Vd X_query X_key D_key share.
Proof.
  intros Nb. destruct signs as (GV & Xq & Xk & Dk). assert (N := queries_pos).
  set (e0 := mass in_block (fun i => eps i) queries / count in_block queries).
  assert (E0 : 0 <= e0 <= 1).
  { unfold e0. split.
    - apply Rmult_le_pos; [apply mass_nonneg; intros; apply eps_bounds; auto|left; sign].
    - apply (Rmult_le_reg_r (count in_block queries)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
      rewrite Rmult_1_l, Rmult_1_r, count_mass. apply mass_le. intros i Hi _. apply eps_bounds, Hi. }
  set (s := fun i => Rmin (D_key / 4) (X_key * Form.phi (eps i))).
  assert (Pn : forall i, In i queries -> 0 <= Form.phi (eps i)).
  { intros i Hi. destruct (eps_bounds i Hi). unfold Form.phi. destruct (Rle_dec (eps i) (1 / 3)); nra. }
  assert (H := gradient_from_spread s ltac:(intros i Hi; apply Rmin_glb; [lra|apply Rmult_le_pos; auto])).
  apply Rle_trans with (/ tau * (/ size queries * (X_query * (G * Vd) * mass in_block s queries))).
  - apply H. intros i d Hi _ D. unfold s. apply Rmin_glb.
    + apply above_quarter; auto. apply direction_range; auto.
    + apply above_three_points with key_block; auto; [apply eps_bounds, Hi|apply direction_size; auto|].
      intros j Hj Kj. apply sum_all_zero. intros c Hc. rewrite (localist j c Hj Kj Hc). ring.
  - assert (Ms : mass in_block s queries
      <= count in_block queries * Rmin (D_key / 4) (X_key * Form.phi_majorant e0)).
    { rewrite Rmult_comm. rewrite (Rmult_comm (Rmin _ _)). unfold Rmin at 1.
      destruct (Rle_dec (D_key / 4) (X_key * Form.phi_majorant e0)).
      - rewrite <- mass_const. apply mass_le. intros i _ _. apply Rmin_l.
      - apply Rle_trans with (mass in_block (fun i => X_key * Form.phi (eps i)) queries).
        + apply mass_le. intros i _ _. apply Rmin_r.
        + rewrite mass_scal. replace (count in_block queries * (X_key * Form.phi_majorant e0))
            with (X_key * (count in_block queries * Form.phi_majorant e0)) by ring.
          apply Rmult_le_compat_l; auto. rewrite <- tangent_touches.
          apply Rle_trans with (mass in_block (fun i => tangent e0 (eps i)) queries).
          * apply mass_le. intros i Hi _. apply phi_below_tangent; auto. apply eps_bounds, Hi.
          * right. unfold tangent. destruct (Rle_dec e0 (1 - sqrt 2 / 2)).
            -- rewrite (mass_ext in_block _ (fun i => (e0 * (1 - e0) - (1 - 2 * e0) * e0) + (1 - 2 * e0) * eps i))
                 by (intros; ring).
               rewrite mass_plus, mass_const, mass_scal. unfold e0. field. lra.
            -- rewrite (mass_ext in_block _ (fun i => (3 / 2 - sqrt 2) + (sqrt 2 - 1) * eps i)) by (intros; ring).
               rewrite mass_plus, mass_const, mass_scal. unfold e0. field. lra. }
    unfold Bound.leakage_aware_gradient. fold (Form.phi_majorant e0).
    apply Rle_trans with (/ tau * (/ size queries * (X_query * (G * Vd)
      * (count in_block queries * Rmin (D_key / 4) (X_key * Form.phi_majorant e0))))); [|right; field; lra].
    apply Rmult_le_compat_l; [left; sign|]. apply Rmult_le_compat_l; [left; sign|].
    apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|exact Ms].
Qed.
End Levels.

(* Level C: each query with its own constants. *)
Section Products.
Variables (G Vd D : Q -> R).
Hypothesis gradients : forall i, In i queries -> norm value_coords (out_gradient i) <= G i.
Hypothesis values : forall i j k, In i queries -> In j keys -> In k keys ->
  norm value_coords (fun v => value j v - value k v) <= Vd i.
Hypothesis key_diameter : forall i j k, In i queries -> In j keys -> In k keys ->
  norm key_coords (fun c => y j c - y k c) <= D i.
Hypothesis some_key : exists j, In j keys.

Lemma cov_product i : In i queries -> norm key_coords (cov_vector i) <= G i * Vd i * (D i / 4).
Proof.
  intros Hi. destruct some_key as [j Hj].
  assert (A := norm_nonneg value_coords (out_gradient i)). assert (A' := gradients i Hi).
  assert (A2 := norm_nonneg value_coords (fun v => value j v - value j v)). assert (A2' := values i j j Hi Hj Hj).
  assert (A5 := norm_nonneg key_coords (fun c => y j c - y j c)). assert (A5' := key_diameter i j j Hi Hj Hj).
  apply cov_vector_bound; auto; [apply Rmult_le_pos; lra|lra|apply u_range; auto|].
  intros d Hd. apply above_quarter; auto. apply direction_range; auto.
Qed.

Theorem mean_of_products : norm pairs cross_gradient <= Bound.mean_of_products tau
  (/ size queries * sum (fun i => G i * Vd i * D i * norm block_coords (x i)) queries).
Proof.
  assert (N := queries_pos). apply Rle_trans with (1 := gradient_by_rows). unfold Bound.mean_of_products.
  apply Rle_trans with (/ tau * (/ size queries * sum (fun i => / 4 * (G i * Vd i * D i * norm block_coords (x i))) queries)).
  - apply Rmult_le_compat_l; [left; sign|]. apply Rmult_le_compat_l; [left; sign|]. apply sum_le. intros i Hi.
    assert (C0 := cov_product i Hi). assert (Nx := norm_nonneg block_coords (x i)). nra.
  - rewrite sum_scal. right. field. lra.
Qed.

(* ||X^T C||_F <= ||X||_op ||C||_F: a bound for every column. *)
Theorem cauchy_schwarz_gradient op :
  (forall z : Q -> R, norm block_coords (fun p => sum (fun i => x i p * z i) queries) <= op * norm queries z) -> 0 <= op ->
  norm pairs cross_gradient <= Bound.cauchy_schwarz_gradient tau (op / sqrt (size queries))
    (sqrt (/ size queries * sum (fun i => (G i * Vd i * D i) * (G i * Vd i * D i)) queries)).
Proof.
  intros Op O0. assert (N := queries_pos). set (n := size queries) in *.
  assert (Fro : norm pairs (fun p => sum (fun i => x i (fst p) * cov_vector i (snd p)) queries)
    <= op * sqrt (sum (fun i => norm key_coords (cov_vector i) * norm key_coords (cov_vector i)) queries)).
  { apply norm_le; [apply Rmult_le_pos; [auto|apply sqrt_pos]|].
    set (Cs := sum (fun i => norm key_coords (cov_vector i) * norm key_coords (cov_vector i)) queries).
    assert (C0 : 0 <= Cs) by (apply sum_nonneg; intros; apply Rmult_le_pos; apply norm_nonneg).
    replace (op * sqrt Cs * (op * sqrt Cs)) with (op * op * Cs) by (rewrite <- (sqrt_sqrt Cs C0) at 1; ring).
    unfold dot, pairs. rewrite sum_prod, sum_swap. simpl.
    apply Rle_trans with (sum (fun c => op * op * dot queries (fun i => cov_vector i c) (fun i => cov_vector i c)) key_coords).
    - apply sum_le. intros c _. specialize (Op (fun i => cov_vector i c)).
      assert (P := norm_nonneg block_coords (fun p => sum (fun i => x i p * cov_vector i c) queries)).
      assert (P' := norm_nonneg queries (fun i => cov_vector i c)).
      change (dot block_coords (fun p => sum (fun i => x i p * cov_vector i c) queries)
        (fun p => sum (fun i => x i p * cov_vector i c) queries)
        <= op * op * dot queries (fun i => cov_vector i c) (fun i => cov_vector i c)).
      rewrite <- !norm_sq. nra.
    - rewrite sum_scal. apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|]. right. unfold dot. rewrite sum_swap.
      apply sum_ext. intros i _. rewrite norm_sq. auto. }
  unfold cross_gradient. fold n.
  rewrite (norm_ext pairs _ (fun p => / tau * / n * sum (fun i => x i (fst p) * cov_vector i (snd p)) queries)) by (intros; ring).
  rewrite norm_scal, Rabs_right by (apply Rle_ge; sign).
  set (T := sum (fun i => G i * Vd i * D i * (G i * Vd i * D i)) queries).
  assert (T0 : 0 <= T) by (apply sum_nonneg; intros; nra).
  assert (Le : sqrt (sum (fun i => norm key_coords (cov_vector i) * norm key_coords (cov_vector i)) queries) <= sqrt T / 4).
  { replace (sqrt T / 4) with (sqrt (T / 16)).
    - apply sqrt_le_1_alt. unfold T, Rdiv. rewrite <- sum_scal_r. apply sum_le. intros i Hi.
      assert (C0 := cov_product i Hi). assert (Nx := norm_nonneg key_coords (cov_vector i)). nra.
    - rewrite sqrt_div by lra. f_equal. rewrite <- (sqrt_square 4) by lra. f_equal. ring. }
  unfold Bound.cauchy_schwarz_gradient. rewrite sqrt_mult by (auto; left; sign).
  assert (Sn : 0 < sqrt n) by (apply sqrt_lt_R0; auto). assert (Ss : sqrt n * sqrt n = n) by (apply sqrt_sqrt; lra).
  assert (Si : sqrt (/ n) = / sqrt n) by (apply sqrt_inv || (rewrite inv_sqrt; auto)).
  rewrite Si. replace (/ sqrt n * sqrt T * (op / sqrt n) / (4 * tau)) with (/ tau * / n * (op * (sqrt T / 4))).
  - apply Rmult_le_compat_l; [left; sign|]. apply Rle_trans with (1 := Fro). apply Rmult_le_compat_l; auto.
  - rewrite <- Ss at 1. field. lra.
Qed.
End Products.
End Head.

(* That formula is the gradient: the slope of the mean of <gradient at the output, output>, the loss linearised at the
   head's output, along any direction E of the cross block. *)
Lemma is_derive_sum {A} (f : A -> R -> R) (df : A -> R) x (l : list A) :
  (forall a, In a l -> is_derive (f a) x (df a)) -> is_derive (fun t => sum (fun a => f a t) l) x (sum df l).
Proof.
  induction l as [|a l IH]; intros H; simpl.
  - apply (is_derive_const 0 x).
  - apply @is_derive_plus; [apply H; simpl; auto|apply IH; intros; apply H; simpl; auto].
Qed.

Lemma softmax_slope {A} (s h u : A -> R) tau (keys : list A) : 0 < tau -> (exists j, In j keys) ->
  is_derive (fun t => sum (fun j => softmax (fun j => s j + t * h j) tau keys j * u j) keys) 0
    (/ tau * cov keys (softmax s tau keys) u h).
Proof.
  intros T Ne. set (e := fun (t : R) j => exp ((s j + t * h j) / tau)).
  assert (De : forall j, is_derive (fun t => e t j) 0 (h j / tau * exp (s j / tau))).
  { intros j. unfold e. auto_derive; auto. replace ((s j + 0 * h j) * / tau) with (s j / tau) by (unfold Rdiv; ring). field. lra. }
  assert (Z : 0 < sum (e 0) keys) by (apply total_pos; auto; intros; apply exp_pos).
  apply is_derive_ext with (fun t => sum (fun j => e t j * u j) keys / sum (e t) keys).
  { intros t. unfold softmax, attention. fold (e t). rewrite <- sum_div. apply sum_ext. intros j _. unfold e. unfold Rdiv. ring. }
  assert (E0 : forall j, e 0 j = exp (s j / tau)) by (intros j; unfold e; f_equal; unfold Rdiv; ring).
  evar_last.
  - apply @is_derive_div; [| |lra].
    + apply (is_derive_sum (fun j t => e t j * u j) (fun j => h j / tau * exp (s j / tau) * u j)). intros j _.
      apply (is_derive_scal_l (fun t => e t j) 0 (h j / tau * exp (s j / tau)) (u j)), De.
    + apply (is_derive_sum (fun j t => e t j) (fun j => h j / tau * exp (s j / tau))). intros j _. apply De.
  - unfold cov, mean, softmax, attention. rewrite (sum_ext (e 0) (fun j => exp (s j / tau))) in * by (intros; apply E0).
    rewrite (sum_ext (fun j => e 0 j * u j) (fun j => exp (s j / tau) * u j)) by (intros; rewrite E0; auto).
    set (Zs := sum (fun j => exp (s j / tau)) keys) in *.
    rewrite (sum_ext (fun j => exp (s j / tau) / Zs * (u j * h j)) (fun j => exp (s j / tau) * (u j * h j) / Zs)) by (intros; unfold Rdiv; ring).
    rewrite (sum_ext (fun j => exp (s j / tau) / Zs * u j) (fun j => exp (s j / tau) * u j / Zs)) by (intros; unfold Rdiv; ring).
    rewrite (sum_ext (fun j => exp (s j / tau) / Zs * h j) (fun j => exp (s j / tau) * h j / Zs)) by (intros; unfold Rdiv; ring).
    rewrite (sum_ext (fun j => h j / tau * exp (s j / tau) * u j) (fun j => / tau * (exp (s j / tau) * (u j * h j)))) by (intros; unfold Rdiv; ring).
    rewrite (sum_ext (fun j => h j / tau * exp (s j / tau)) (fun j => / tau * (exp (s j / tau) * h j))) by (intros; unfold Rdiv; ring).
    rewrite !sum_div, !sum_scal. field. lra.
Qed.

Theorem worst_case_gradient_is_the_gradient {Q K B C V} (queries : list Q) (keys : list K) (block_coords : list B)
  (key_coords : list C) (value_coords : list V) (s0 : Q -> K -> R) (out_gradient : Q -> V -> R) (value : K -> V -> R)
  (x : Q -> B -> R) (y : K -> C -> R) tau (E : B * C -> R) : 0 < tau -> (exists j, In j keys) ->
  let h := fun i j => sum (fun p => sum (fun c => x i p * E (p, c) * y j c) key_coords) block_coords in
  is_derive (fun t => / size queries * sum (fun i => sum (fun j =>
      softmax (fun j => s0 i j + t * h i j) tau keys j * dot value_coords (out_gradient i) (value j)) keys) queries) 0
    (dot (list_prod block_coords key_coords)
      (cross_gradient queries keys value_coords (fun i => softmax (s0 i) tau keys) out_gradient value x y tau) E).
Proof.
  intros T Ne h.
  evar_last.
  - apply is_derive_scal.
    apply (is_derive_sum (fun i t => sum (fun j => softmax (fun j => s0 i j + t * h i j) tau keys j
      * dot value_coords (out_gradient i) (value j)) keys)
      (fun i => / tau * cov keys (softmax (s0 i) tau keys) (fun j => dot value_coords (out_gradient i) (value j)) (h i))).
    intros i _. apply softmax_slope; auto.
  - unfold dot at 2. rewrite sum_prod. unfold cross_gradient. simpl.
    rewrite sum_scal.
    assert (Cs : forall i, cov keys (softmax (s0 i) tau keys) (fun j => dot value_coords (out_gradient i) (value j)) (h i)
      = sum (fun p => sum (fun c => x i p * E (p, c) * cov_vector keys value_coords (fun i => softmax (s0 i) tau keys)
          out_gradient value y i c) key_coords) block_coords).
    { intros i. unfold h. set (w := fun i => softmax (s0 i) tau keys).
      assert (Lin : forall (L : list B) (f : B -> K -> R), cov keys (w i) (fun j => dot value_coords (out_gradient i) (value j))
          (fun j => sum (fun p => f p j) L) = sum (fun p => cov keys (w i) (fun j => dot value_coords (out_gradient i) (value j)) (f p)) L).
      { intros L f. induction L as [|p L IH]; simpl.
        - unfold cov, mean. rewrite (sum_all_zero (fun j => w i j * (dot value_coords (out_gradient i) (value j) * 0)))
            by (intros; ring). rewrite (sum_all_zero (fun j => w i j * 0)) by (intros; ring). ring.
        - rewrite <- IH. unfold cov, mean.
          rewrite (sum_ext (fun j => w i j * (_ * (f p j + _))) (fun j => w i j * (dot value_coords (out_gradient i) (value j) * f p j)
            + w i j * (dot value_coords (out_gradient i) (value j) * sum (fun p => f p j) L))) by (intros; ring).
          rewrite (sum_ext (fun j => w i j * (f p j + _)) (fun j => w i j * f p j + w i j * sum (fun p => f p j) L)) by (intros; ring).
          rewrite !sum_plus. ring. }
      etransitivity; [apply (Lin block_coords (fun p j => sum (fun c => x i p * E (p, c) * y j c) key_coords))|].
      apply sum_ext. intros p _. apply (cov_sum keys key_coords value_coords out_gradient value y w i (fun c => x i p * E (p, c))). }
    rewrite (sum_ext _ _ queries (fun i _ => Cs i)).
    rewrite (sum_swap (fun i p => sum _ key_coords) queries block_coords).
    rewrite <- !sum_scal. apply sum_ext. intros p _.
    rewrite (sum_swap (fun i c => x i p * E (p, c) * _) queries key_coords).
    rewrite <- !sum_scal. apply sum_ext. intros c _.
    rewrite (sum_ext (fun i => x i p * E (p, c) * _) (fun i => E (p, c) * (x i p * cov_vector keys value_coords
      (fun i => softmax (s0 i) tau keys) out_gradient value y i c))) by (intros; ring).
    rewrite sum_scal. ring.
Qed.

(* Two keys with half the attention each, at distance 1 in value and feature: level A is attained. *)
Definition half (_ : unit) (_ : bool) : R := 1 / 2.
Definition one (_ _ : unit) : R := 1.
Definition bit (j : bool) (_ : unit) : R := if j then 1 else 0.
Definition both : list bool := [true; false].
Definition two_key_gradient : unit * unit -> R := cross_gradient [tt] both [tt] half one bit one bit 1.

Lemma two_key_gradient_is p : two_key_gradient p = 1 / 4.
Proof.
  unfold two_key_gradient, cross_gradient, cov_vector, cov, mean, u, dot, half, one, bit, both, size. simpl. field.
Qed.
Lemma two_key_norm : norm (list_prod [tt] [tt]) two_key_gradient = 1 / 4.
Proof.
  unfold norm, dot. simpl. rewrite !two_key_gradient_is, Rplus_0_r. apply sqrt_square. lra.
Qed.

Theorem worst_case_gradient_attained :
  norm (list_prod [tt] [tt]) two_key_gradient = Bound.worst_case_gradient 1 1 1 1 1 1 1.
Proof. rewrite two_key_norm. unfold Bound.worst_case_gradient. rewrite Rmin_left; lra. Qed.

Ltac two_keys :=
  intros; repeat match goal with j : bool |- _ => destruct j end; rewrite ?norm_one; unfold one, bit, half in *;
  try (apply Rabs_le; lra); try discriminate; try lra.

Example worst_case_gradient_instance :
  norm (list_prod [tt] [tt]) two_key_gradient <= Bound.worst_case_gradient 1 1 1 1 1 1 (1 / 1).
Proof.
  assert (H := worst_case_gradient [tt] both [tt] [tt] [tt] half one bit one bit 1 ltac:(lra) ltac:(discriminate)
    ltac:(two_keys) ltac:(intros; unfold half; simpl; lra) 1 1 1 1 1 (fun _ => true)).
  unfold count, size in H. simpl in H. apply H; try (two_keys; fail). exists true. simpl. auto.
Qed.

Example leakage_aware_gradient_instance :
  norm (list_prod [tt] [tt]) two_key_gradient <= Bound.leakage_aware_gradient (1 / 2) 1 1 1 1 1 1 (1 / 1).
Proof.
  assert (H := leakage_aware_gradient [tt] both [tt] [tt] [tt] half one bit one bit 1 ltac:(lra) ltac:(discriminate)
    ltac:(two_keys) ltac:(intros; unfold half; simpl; lra) 1 1 1 1 1 (fun _ => true)).
  assert (E : mass (fun _ : unit => true) (fun i => mass (fun j : bool => j) (half i) both) [tt] / count (fun _ : unit => true) [tt] = 1 / 2).
  { unfold mass, count, half, both. simpl. field. }
  specialize (H ltac:(two_keys) ltac:(two_keys) ltac:(two_keys) ltac:(two_keys) ltac:(two_keys) ltac:(two_keys)
    ltac:(exists true; simpl; auto) (fun j => j) ltac:(two_keys) ltac:(unfold count; simpl; lra)).
  rewrite E in H. unfold count, size in H. simpl in H. exact H.
Qed.

Example mean_of_products_instance : norm (list_prod [tt] [tt]) two_key_gradient <= Bound.mean_of_products 1 1.
Proof.
  assert (H := mean_of_products [tt] both [tt] [tt] [tt] half one bit one bit 1 ltac:(lra) ltac:(discriminate)
    ltac:(two_keys) ltac:(intros; unfold half; simpl; lra) (fun _ => 1) (fun _ => 1) (fun _ => 1)
    ltac:(two_keys) ltac:(two_keys) ltac:(two_keys) ltac:(exists true; simpl; auto)).
  unfold size in H. simpl in H. rewrite norm_one in H. change (one tt tt) with 1 in H. rewrite Rabs_R1 in H.
  replace (/ 1 * (1 * 1 * 1 * 1 + 0)) with 1 in H by field. exact H.
Qed.

Example cauchy_schwarz_gradient_instance :
  norm (list_prod [tt] [tt]) two_key_gradient <= Bound.cauchy_schwarz_gradient 1 1 1.
Proof.
  assert (H := cauchy_schwarz_gradient [tt] both [tt] [tt] [tt] half one bit one bit 1 ltac:(lra) ltac:(discriminate)
    ltac:(two_keys) ltac:(intros; unfold half; simpl; lra) (fun _ => 1) (fun _ => 1) (fun _ => 1)
    ltac:(two_keys) ltac:(two_keys) ltac:(two_keys) ltac:(exists true; simpl; auto) 1).
  assert (O : forall z : unit -> R, norm [tt] (fun p => sum (fun i => one i p * z i) [tt]) <= 1 * norm [tt] z).
  { intros z. rewrite !norm_one. unfold one. simpl. replace (1 * z tt + 0) with (z tt) by ring. lra. }
  specialize (H O ltac:(lra)). unfold size in H. simpl in H. rewrite sqrt_1 in H.
  replace (/ 1 * (1 * 1 * 1 * (1 * 1 * 1) + 0)) with 1 in H by field. rewrite sqrt_1 in H.
  replace (1 / 1) with 1 in H by field. exact H.
Qed.
