(* Anchors (claims C7, C11): which margin their geometry gives, how far apart they can lie, what redundancy costs, how
   much a pointer tells. Mirrors bounds/anchors/theorems. *)

Require Import Reals Lra Psatz List Bool Lia.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Vectors Attention Information.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

Section Angles.
Context {A : Type} (I : list A).
Implicit Types (x y z : A -> R).

(* Unit vectors: (<x,z> - <x,y><y,z>)^2 <= (1 - <x,y>^2)(1 - <y,z>^2). *)
Lemma gram x y z : norm I x = 1 -> norm I y = 1 -> norm I z = 1 ->
  (dot I x z - dot I x y * dot I y z) * (dot I x z - dot I x y * dot I y z)
    <= (1 - dot I x y * dot I x y) * (1 - dot I y z * dot I y z).
Proof.
  intros X Y Z. assert (X2 := norm_sq I x). assert (Y2 := norm_sq I y). assert (Z2 := norm_sq I z).
  rewrite X in X2. rewrite Y in Y2. rewrite Z in Z2.
  set (a := dot I x y). set (b := dot I y z). set (c := dot I x z).
  set (v := fun i => x i - a * y i). set (w := fun i => z i - b * y i).
  assert (Evw : dot I v w = c - a * b).
  { unfold v, w. rewrite dot_minus_l, !dot_minus_r, !dot_scal_l, !dot_scal_r, <- Y2.
    fold a b c. ring. }
  assert (Evv : dot I v v = 1 - a * a).
  { unfold v. rewrite dot_sq_minus, !dot_scal_l, !dot_scal_r, <- X2, <- Y2. fold a. ring. }
  assert (Eww : dot I w w = 1 - b * b).
  { unfold w. rewrite dot_sq_minus, !dot_scal_l, !dot_scal_r, <- Z2, <- Y2, (dot_comm I z y). fold b. ring. }
  rewrite <- Evw, <- Evv, <- Eww, <- !norm_sq.
  assert (C := cauchy_schwarz_abs I v w). assert (P := Rabs_pos (dot I v w)).
  replace (dot I v w * dot I v w) with (Rabs (dot I v w) * Rabs (dot I v w)).
  - assert (N := norm_nonneg I v). assert (N' := norm_nonneg I w). nra.
  - rewrite <- Rabs_mult. apply Rabs_right. nra.
Qed.

(* Cosines of angles within s and within t: <x,z> lies between cos (s + t) and, if <y,z> is at most cos t, below
   cos (t - s). *)
Lemma cos_between u s t : 0 <= s <= t -> t <= PI -> cos t <= u -> u <= cos s -> exists a, s <= a <= t /\ cos a = u.
Proof.
  intros S T U L. assert (B : -1 <= u <= 1).
  { assert (C1 := COS_bound t). assert (C2 := COS_bound s). lra. }
  assert (Ac := acos_bound u). assert (Ca := cos_acos u B). exists (acos u). split; auto. split.
  - destruct (Rle_lt_dec s (acos u)) as [|H]; auto. exfalso.
    assert (cos s < cos (acos u)); [apply cos_decreasing_1; lra|lra].
  - destruct (Rle_lt_dec (acos u) t) as [|H]; auto. exfalso.
    assert (cos (acos u) < cos t); [apply cos_decreasing_1; lra|lra].
Qed.

Lemma unit_dot x y : norm I x = 1 -> norm I y = 1 -> -1 <= dot I x y <= 1.
Proof.
  intros X Y. assert (C := cauchy_schwarz_abs I x y). rewrite X, Y in C.
  assert (A1 := Rle_abs (dot I x y)). assert (A2 := Rle_abs (- dot I x y)). rewrite Rabs_Ropp in A2. lra.
Qed.

Lemma near_near x y z s t : norm I x = 1 -> norm I y = 1 -> norm I z = 1 -> 0 <= s -> 0 <= t -> s + t <= PI ->
  cos s <= dot I x y -> cos t <= dot I y z -> cos (s + t) <= dot I x z.
Proof.
  intros X Y Z S T ST Hs Ht. assert (G := gram x y z X Y Z).
  assert (B1 := unit_dot x y X Y). assert (B2 := unit_dot y z Y Z).
  destruct (cos_between (dot I x y) 0 s ltac:(lra) ltac:(lra) Hs) as [a [Ha Ea]]; [rewrite cos_0; lra|].
  destruct (cos_between (dot I y z) 0 t ltac:(lra) ltac:(lra) Ht) as [b [Hb Eb]]; [rewrite cos_0; lra|].
  rewrite <- Ea, <- Eb in G. assert (Sa := sin2_cos2 a). assert (Sb := sin2_cos2 b). unfold Rsqr in *.
  replace (1 - cos a * cos a) with (sin a * sin a) in G by lra. replace (1 - cos b * cos b) with (sin b * sin b) in G by lra.
  assert (Pa : 0 <= sin a) by (apply sin_ge_0; lra). assert (Pb : 0 <= sin b) by (apply sin_ge_0; lra).
  assert (Low : cos (a + b) <= dot I x z).
  { rewrite cos_plus. assert (0 <= sin a * sin b) by nra.
    destruct (Rle_lt_dec (cos a * cos b - sin a * sin b) (dot I x z)) as [|Hn]; auto. exfalso.
    assert (sin a * sin b * (sin a * sin b) < (cos a * cos b - dot I x z) * (cos a * cos b - dot I x z)) by (apply Rmult_le_0_lt_compat; lra).
    nra. }
  apply Rle_trans with (2 := Low). destruct (Req_dec (a + b) (s + t)) as [->|Ne]; [lra|].
  left. apply cos_decreasing_1; lra.
Qed.

Lemma near_far x y z s t : norm I x = 1 -> norm I y = 1 -> norm I z = 1 -> 0 <= s <= t -> t <= PI ->
  cos s <= dot I x y -> dot I y z <= cos t -> dot I x z <= cos (t - s).
Proof.
  intros X Y Z S T Hs Ht. assert (G := gram x y z X Y Z).
  assert (B1 := unit_dot x y X Y). assert (B2 := unit_dot y z Y Z).
  destruct (cos_between (dot I x y) 0 s ltac:(lra) ltac:(lra) Hs) as [a [Ha Ea]]; [rewrite cos_0; lra|].
  destruct (cos_between (dot I y z) t PI ltac:(lra) ltac:(lra)) as [b [Hb Eb]]; [rewrite cos_PI; lra|auto|].
  rewrite <- Ea, <- Eb in G. assert (Sa := sin2_cos2 a). assert (Sb := sin2_cos2 b). unfold Rsqr in *.
  replace (1 - cos a * cos a) with (sin a * sin a) in G by lra. replace (1 - cos b * cos b) with (sin b * sin b) in G by lra.
  assert (Pa : 0 <= sin a) by (apply sin_ge_0; lra). assert (Pb : 0 <= sin b) by (apply sin_ge_0; lra).
  assert (Up : dot I x z <= cos (b - a)).
  { rewrite cos_minus. assert (0 <= sin a * sin b) by nra.
    destruct (Rle_lt_dec (dot I x z) (cos b * cos a + sin b * sin a)) as [|Hn]; auto. exfalso.
    assert (sin a * sin b * (sin a * sin b) < (dot I x z - cos a * cos b) * (dot I x z - cos a * cos b)) by (apply Rmult_le_0_lt_compat; lra).
    nra. }
  apply Rle_trans with (1 := Up). destruct (Req_dec (b - a) (t - s)) as [->|Ne]; [lra|].
  left. apply cos_decreasing_1; lra.
Qed.

(* The query within theta of its own anchors, keys within the jitter of their anchors, anchors of other blocks at an
   angle of phi at least. Logits are beta times the cosine. *)
Theorem anchor_margin query own own_key other other_key theta jitter phi beta :
  norm I query = 1 -> norm I own = 1 -> norm I own_key = 1 -> norm I other = 1 -> norm I other_key = 1 ->
  0 <= theta -> 0 <= jitter -> theta + jitter <= phi -> phi <= PI -> 0 < beta ->
  cos theta <= dot I query own -> cos jitter <= dot I own own_key -> cos jitter <= dot I other other_key ->
  dot I own other <= cos phi ->
  beta * dot I query own_key - beta * dot I query other_key >= Bound.anchor_margin (theta + jitter) phi beta.
Proof.
  intros Q O Ok T Tk Th J Ph Pi B H1 H2 H3 H4. unfold Bound.anchor_margin.
  assert (L := near_near query own own_key theta jitter Q O Ok Th J ltac:(lra) H1 H2).
  assert (U1 := near_far query own other theta phi Q O T ltac:(lra) Pi H1 H4).
  assert (U2 := near_far other_key other query jitter (phi - theta) Tk T Q ltac:(lra) ltac:(lra)).
  rewrite (dot_comm I other_key other), (dot_comm I other query), (dot_comm I other_key query) in U2.
  specialize (U2 H3 U1). replace (phi - theta - jitter) with (phi - (theta + jitter)) in U2 by ring. nra.
Qed.

Theorem anchor_margin_form theta phi beta : Form.anchor_margin theta phi beta = Bound.anchor_margin theta phi beta.
Proof.
  unfold Form.anchor_margin, Bound.anchor_margin.
  replace (cos theta) with (cos (phi / 2 - (phi / 2 - theta))) by (f_equal; ring).
  replace (cos (phi - theta)) with (cos (phi / 2 + (phi / 2 - theta))) by (f_equal; field).
  rewrite cos_minus, cos_plus. ring.
Qed.

(* Useful iff t < phi/2: only then is it positive. *)
Theorem anchor_margin_useful theta phi beta : 0 < beta -> 0 <= theta <= phi -> 0 < phi <= PI ->
  (0 < Bound.anchor_margin theta phi beta <-> theta < phi / 2).
Proof.
  intros B T P. unfold Bound.anchor_margin. split; intros H.
  - destruct (Rlt_le_dec theta (phi / 2)) as [|K]; auto. exfalso.
    assert (cos theta <= cos (phi - theta)); [|nra].
    destruct (Req_dec theta (phi - theta)) as [E|Ne]; [rewrite <- E; lra|].
    left. apply cos_decreasing_1; lra.
  - apply Rmult_lt_0_compat; auto. assert (cos (phi - theta) < cos theta); [|lra]. apply cos_decreasing_1; lra.
Qed.

(* Coherence: a bound on the largest cosine of two of K unit vectors. *)
Section Coherence.
Context {K : Type}.
Variables (anchors : list K) (v : K -> A -> R) (s : R).
Hypothesis eq_dec : forall k l : K, {k = l} + {k <> l}.
Hypothesis distinct : NoDup anchors.
Hypothesis unit_norm : forall k, In k anchors -> norm I (v k) = 1.
Hypothesis coherent : forall k l, In k anchors -> In l anchors -> k <> l -> dot I (v k) (v l) <= s.

Lemma sum_split_at k f : In k anchors -> sum f anchors = f k + sum (fun l => if eq_dec l k then 0 else f l) anchors.
Proof.
  intros Hk. assert (E : sum (fun l => if eq_dec l k then f l else 0) anchors = f k).
  { rewrite (sum_only eq_dec anchors k); auto.
    - destruct (eq_dec k k); congruence.
    - intros l H. destruct (eq_dec l k); congruence. }
  rewrite <- E, <- sum_plus. apply sum_ext. intros l _. destruct (eq_dec l k); ring.
Qed.

Lemma size_minus_one k c : In k anchors -> sum (fun l => if eq_dec l k then 0 else c) anchors = (size anchors - 1) * c.
Proof. intros Hk. assert (E := sum_split_at k (fun _ => c) Hk). rewrite sum_const in E. lra. Qed.

(* 0 <= ||sum v||^2 <= K + K (K-1) s. *)
Theorem coherence_simplex : 1 < size anchors -> s >= Bound.coherence_simplex (size anchors).
Proof.
  intros N. unfold Bound.coherence_simplex. set (n := size anchors) in *.
  assert (Total : 0 <= sum (fun k => sum (fun l => dot I (v k) (v l)) anchors) anchors).
  { replace (sum (fun k => sum (fun l => dot I (v k) (v l)) anchors) anchors)
      with (dot I (fun i => sum (fun k => v k i) anchors) (fun i => sum (fun k => v k i) anchors)); [apply dot_self|].
    rewrite (dot_sum_r I _ v anchors). rewrite sum_swap. apply sum_ext. intros l _.
    rewrite dot_comm, (dot_sum_r I (v l) v anchors). apply sum_ext. intros k _. apply dot_comm. }
  assert (Row : forall k, In k anchors -> sum (fun l => dot I (v k) (v l)) anchors <= 1 + (n - 1) * s).
  { intros k Hk. rewrite (sum_split_at k) by auto. rewrite <- norm_sq, unit_norm by auto.
    unfold n. rewrite <- (size_minus_one k s Hk). rewrite Rmult_1_r. apply Rplus_le_compat_l, sum_le. intros l Hl.
    destruct (eq_dec l k); [lra|]. apply coherent; auto. }
  assert (Le : sum (fun k => sum (fun l => dot I (v k) (v l)) anchors) anchors <= n * (1 + (n - 1) * s)).
  { unfold n. rewrite <- sum_const. apply sum_le. exact Row. }
  apply Rle_ge. apply (Rmult_le_reg_r (n - 1)); [lra|].
  replace (- (1 / (n - 1)) * (n - 1)) with (-1) by (field; lra). assert (0 <= n * (1 + (n - 1) * s)) by lra. nra.
Qed.

(* f(t) = (t+1)(t-s) is at most 0 on [-1, s]; sum of cosines >= 0, sum of squares >= K^2/d. *)
Theorem coherence_levenshtein : 2 < size anchors -> I <> [] ->
  s >= Bound.coherence_levenshtein (size anchors) (size I).
Proof.
  intros N Ne. unfold Bound.coherence_levenshtein. set (n := size anchors) in *. set (d := size I) in *.
  assert (D : 1 <= d) by (unfold d, size; destruct I; [congruence|simpl length; rewrite S_INR; assert (P := pos_INR (length l)); lra]).
  set (c := fun k l => dot I (v k) (v l)).
  assert (S1 : 0 <= sum (fun k => sum (fun l => c k l) anchors) anchors).
  { replace (sum (fun k => sum (fun l => c k l) anchors) anchors)
      with (dot I (fun i => sum (fun k => v k i) anchors) (fun i => sum (fun k => v k i) anchors)); [apply dot_self|].
    rewrite (dot_sum_r I _ v anchors). rewrite sum_swap. apply sum_ext. intros l _.
    rewrite dot_comm, (dot_sum_r I (v l) v anchors). apply sum_ext. intros k _. apply dot_comm. }
  (* the moment matrix M_pq = sum_k v_kp v_kq has trace K and squared norm sum of squared cosines *)
  set (M := fun p q => sum (fun k => v k p * v k q) anchors).
  assert (Tr : sum (fun p => M p p) I = n).
  { unfold M. rewrite sum_swap. unfold n. rewrite size_sum. apply sum_ext. intros k Hk.
    change (sum (fun p => v k p * v k p) I) with (dot I (v k) (v k)). rewrite <- norm_sq, unit_norm by auto. ring. }
  assert (Sq : sum (fun k => sum (fun l => c k l * c k l) anchors) anchors = sum (fun p => sum (fun q => M p q * M p q) I) I).
  { transitivity (sum (fun k => sum (fun l => sum (fun p => sum (fun q => v k p * v k q * (v l p * v l q)) I) I) anchors) anchors).
    - apply sum_ext. intros k _. apply sum_ext. intros l _. unfold c, dot.
      rewrite <- sum_scal_r. apply sum_ext. intros p _. rewrite <- sum_scal. apply sum_ext. intros q _. ring.
    - rewrite (sum_ext _ (fun k => sum (fun p => sum (fun q => v k p * v k q * M p q) I) I)).
      + rewrite sum_swap. apply sum_ext. intros p _. rewrite sum_swap. apply sum_ext. intros q _.
        rewrite (sum_scal_r (M p q) (fun k => v k p * v k q)). auto.
      + intros k _. rewrite sum_swap. apply sum_ext. intros p _. rewrite sum_swap. apply sum_ext. intros q _.
        unfold M. rewrite <- sum_scal. auto. }
  assert (S2 : n * n <= d * sum (fun k => sum (fun l => c k l * c k l) anchors) anchors).
  { rewrite Sq. apply Rle_trans with (d * sum (fun p => M p p * M p p) I).
    - rewrite <- Tr at 1 2. assert (C := cauchy_schwarz_abs I (fun _ => 1) (fun p => M p p)).
      unfold norm, dot in C. rewrite (sum_ext (fun i => 1 * M i i) (fun p => M p p)), (sum_ext (fun _ => 1 * 1) (fun _ => 1)) in C by (intros; ring).
      rewrite <- size_sum in C. fold d in C. set (T := sum (fun p => M p p) I) in *. set (F := sum (fun p => M p p * M p p) I) in *.
      assert (F0 : 0 <= F) by (apply sum_nonneg; intros; nra).
      assert (Q1 := sqrt_sqrt d ltac:(lra)). assert (Q2 := sqrt_sqrt F F0). assert (Q3 := sqrt_pos d). assert (Q4 := sqrt_pos F).
      assert (Q5 := Rabs_pos T). replace (T * T) with (Rabs T * Rabs T) by (rewrite <- Rabs_mult; apply Rabs_right; nra).
      apply Rle_trans with (sqrt d * sqrt F * (sqrt d * sqrt F)); [apply Rmult_le_compat; auto|right].
      replace (sqrt d * sqrt F * (sqrt d * sqrt F)) with (sqrt d * sqrt d * (sqrt F * sqrt F)) by ring. rewrite Q1, Q2. auto.
    - apply Rmult_le_compat_l; [lra|]. apply sum_le. intros p Hp. apply sum_term with (f := fun q => M p q * M p q); auto.
      intros; nra. }
  (* sum over pairs of f(c) is at most K f(1) = 2 K (1 - s) *)
  assert (Row : forall k, In k anchors -> sum (fun l => (c k l + 1) * (c k l - s)) anchors <= 2 * (1 - s)).
  { intros k Hk. rewrite (sum_split_at k) by auto. unfold c at 1 2. rewrite <- norm_sq, unit_norm by auto.
    assert (sum (fun l => if eq_dec l k then 0 else (c k l + 1) * (c k l - s)) anchors <= 0); [|lra].
    apply Rle_trans with (sum (fun _ => 0) anchors); [|rewrite sum_const; lra]. apply sum_le. intros l Hl.
    destruct (eq_dec l k) as [|Nk]; [lra|]. assert (U := unit_dot (v k) (v l) (unit_norm k Hk) (unit_norm l Hl)).
    assert (Cs := coherent k l Hk Hl ltac:(congruence)). fold (c k l) in *. nra. }
  assert (Le : sum (fun k => sum (fun l => (c k l + 1) * (c k l - s)) anchors) anchors <= n * (2 * (1 - s))).
  { unfold n. rewrite <- sum_const. apply sum_le. exact Row. }
  assert (Ex : sum (fun k => sum (fun l => (c k l + 1) * (c k l - s)) anchors) anchors =
    sum (fun k => sum (fun l => c k l * c k l) anchors) anchors
    + (1 - s) * sum (fun k => sum (fun l => c k l) anchors) anchors - s * (n * n)).
  { unfold n. rewrite <- (sum_const (size anchors) anchors).
    rewrite <- !sum_scal, <- sum_plus, <- sum_minus. apply sum_ext. intros k _.
    rewrite <- (Rmult_1_r (size anchors)), <- (sum_const 1 anchors), <- !sum_scal, <- sum_plus, <- sum_minus.
    apply sum_ext. intros l _. ring. }
  rewrite Ex in Le. set (T := sum (fun k => sum (fun l => c k l * c k l) anchors) anchors) in *.
  set (U := sum (fun k => sum (fun l => c k l) anchors) anchors) in *.
  apply Rle_ge. apply (Rmult_le_reg_r (d * (n - 2))); [apply Rmult_lt_0_compat; lra|].
  replace ((n - 2 * d) / (d * (n - 2)) * (d * (n - 2))) with (n - 2 * d) by (field; lra).
  destruct (Rle_lt_dec s 1) as [S1'|S1'].
  2: { assert (X1 : 1 * (n - 2) <= d * (n - 2)) by (apply Rmult_le_compat_r; lra).
       assert (X2 : 1 * (d * (n - 2)) <= s * (d * (n - 2))) by (apply Rmult_le_compat_r; lra). lra. }
  assert (0 <= (1 - s) * U) by (apply Rmult_le_pos; lra).
  assert (T <= n * (2 * (1 - s)) + s * (n * n)) by lra.
  assert (d * T <= d * (n * (2 * (1 - s)) + s * (n * n))) by (apply Rmult_le_compat_l; lra).
  assert (n * n <= n * (d * (2 * (1 - s) + s * n))) by lra.
  assert (n <= d * (2 * (1 - s) + s * n)) by (apply (Rmult_le_reg_l n); lra). lra.
Qed.
End Coherence.
End Angles.

(* The simplex bound is attained by two opposite vectors, the second-degree one by the three directions at 120 degrees
   when read in one dimension less; here the two-vector case. *)
Theorem coherence_simplex_attained :
  let v := fun (k : bool) (_ : unit) => if k then 1 else -1 in
  dot [tt] (v true) (v false) = Bound.coherence_simplex 2.
Proof. unfold dot, Bound.coherence_simplex. simpl. field. Qed.

(* What one more equal anchor does to the entropy: r anchors at logit a over other weights with total Zo and mean logit mu. *)
Definition replicated (a Zo mu r : R) : R := ln (r * exp a + Zo) - (r * exp a * a + Zo * mu) / (r * exp a + Zo).

Theorem replication_slope a Zo mu r : 0 < Zo -> 0 < r ->
  let Z := r * exp a + Zo in
  is_derive (replicated a Zo mu) r (Bound.replication_slope r (Zo / Z) (r * exp a / Z) (a - mu)).
Proof.
  intros Ho Hr Z. assert (E := exp_pos a). assert (HZ : 0 < Z) by (unfold Z; nra). unfold replicated.
  auto_derive.
  - fold Z. repeat split; lra.
  - unfold Bound.replication_slope. fold Z. unfold Z. field. fold Z. lra.
Qed.

(* It is the entropy of that row, for whole r. *)
Theorem replication_slope_entropy {A} (s : A -> R) keys (anchor : A -> bool) a : row keys anchor anchor ->
  (forall j, In j keys -> anchor j = true -> s j = a) ->
  let Zo := mass (outside anchor) (fun j => exp (s j)) keys in
  entropy (softmax s 1 keys) keys =
  replicated a Zo (mass (outside anchor) (fun j => exp (s j) * s j) keys / Zo) (count anchor keys).
Proof.
  intros V Eq Zo. assert (Ne := row_nonempty keys anchor anchor V). rewrite entropy_softmax by auto.
  assert (Zp : 0 < Zo).
  { apply mass_pos; [intros; apply exp_pos|]. destruct V as [_ _ [o [Ho Bo]]]. exists o. unfold outside. rewrite Bo. auto. }
  rewrite (mass_split anchor (fun j => exp (s j))), (mass_split anchor (fun j => exp (s j) * s j)). fold Zo.
  rewrite (mass_ext anchor (fun j => exp (s j)) (fun _ => exp a)) by (intros j Hj Aj; rewrite (Eq j Hj Aj); auto).
  rewrite (mass_ext anchor (fun j => exp (s j) * s j) (fun _ => exp a * a)) by (intros j Hj Aj; rewrite (Eq j Hj Aj); auto).
  rewrite !mass_const. unfold replicated. f_equal. f_equal. field. lra.
Qed.

(* Over 100 outsiders at 0 two anchors at 23/5 have less entropy than one, though more fidelity: the slope is negative
   while leakage times gap exceeds 1. *)
Theorem refuted_fidelity_and_entropy_together : exists r, 0 < r /\
  0 < (r * exp (23 / 5) / (r * exp (23 / 5) + 100)) * (100 / (r * exp (23 / 5) + 100)) / r /\
  Bound.replication_slope r (100 / (r * exp (23 / 5) + 100)) (r * exp (23 / 5) / (r * exp (23 / 5) + 100)) (23 / 5 - 0) < 0.
Proof.
  assert (E := exp_pos (23 / 5)). set (e := exp (23 / 5)) in *.
  (* r so small that the leakage is above 1/4.6: r e < 100 *)
  exists (50 / e). assert (R0 : 0 < 50 / e) by (apply Rdiv_lt_0_compat; lra).
  assert (Re : 50 / e * e = 50) by (field; lra). split; [auto|]. rewrite Re. split.
  - apply Rdiv_lt_0_compat; auto. lra.
  - unfold Bound.replication_slope.
    replace (50 / (50 + 100) * (1 - (23 / 5 - 0) * (100 / (50 + 100)))) with (- (31 / 45)) by field.
    assert (0 < 31 / 45 / (50 / e)) by (apply Rdiv_lt_0_compat; lra).
    replace (- (31 / 45) / (50 / e)) with (- (31 / 45 / (50 / e))) by (field; lra). lra.
Qed.

(* Fano: a pointer that names one of K blocks and errs with probability eps. [joint b p] is the law of block and name. *)
Section Pointer.
Context {B : Type}.
Variables (blocks : list B) (joint : B -> B -> R).
Hypothesis eq_dec : forall b c : B, {b = c} + {b <> c}.
Hypothesis distinct : NoDup blocks.
Hypothesis law : forall b p, In b blocks -> In p blocks -> 0 <= joint b p.
Hypothesis total : sum (fun b => sum (joint b) blocks) blocks = 1.

Definition prior (b : B) : R := sum (joint b) blocks.
Definition name (p : B) : R := sum (fun b => joint b p) blocks.
Definition errs : R := sum (fun b => sum (fun p => if eq_dec b p then 0 else joint b p) blocks) blocks.
(* I = H(B) + H(P) - H(B, P). *)
Definition information : R :=
  - sum (fun b => prior b * ln (prior b)) blocks - sum (fun p => name p * ln (name p)) blocks
  + sum (fun b => sum (fun p => joint b p * ln (joint b p)) blocks) blocks.

Theorem pointer_information : 1 < size blocks -> 0 < errs < 1 ->
  information >= Bound.pointer_information errs (size blocks) (- sum (fun b => prior b * ln (prior b)) blocks).
Proof.
  intros K E. unfold information, Bound.pointer_information. set (k := size blocks) in *. set (e := errs) in *.
  (* Gibbs, term by term, with q(b, p) = name p times (1 - e) or e/(k-1) *)
  set (q := fun b p => name p * (if eq_dec b p then 1 - e else e / (k - 1))).
  assert (Nn : forall p, In p blocks -> 0 <= name p) by (intros p Hp; apply sum_nonneg; auto).
  assert (Qk : 0 < e / (k - 1)) by (apply Rdiv_lt_0_compat; lra).
  assert (J0 : forall b p, In b blocks -> In p blocks -> name p = 0 -> joint b p = 0).
  { intros b p Hb Hp Z. apply (sum_zero (fun b => joint b p) blocks); auto. }
  assert (G : forall b p, In b blocks -> In p blocks -> - (joint b p * ln (joint b p)) <=
    (q b p - joint b p) - joint b p * (ln (name p) + (if eq_dec b p then ln (1 - e) else ln (e / (k - 1))))).
  { intros b p Hb Hp. destruct (Nn p Hp) as [P|P].
    - assert (Q : 0 < q b p) by (unfold q; destruct (eq_dec b p); apply Rmult_lt_0_compat; lra).
      assert (T := gibbs_term (joint b p) (q b p) (law b p Hb Hp) Q). unfold q in T at 2.
      rewrite ln_mult in T by (auto; destruct (eq_dec b p); lra). destruct (eq_dec b p); auto.
    - rewrite (J0 b p Hb Hp (eq_sym P)). unfold q. rewrite <- P. lra. }
  assert (S1 : sum (fun b => sum (fun p => - (joint b p * ln (joint b p))) blocks) blocks <=
    sum (fun b => sum (fun p => (q b p - joint b p) - joint b p * (ln (name p)
      + (if eq_dec b p then ln (1 - e) else ln (e / (k - 1))))) blocks) blocks).
  { apply sum_le. intros b Hb. apply sum_le. intros p Hp. apply G; auto. }
  assert (Nt : sum name blocks = 1) by (unfold name; rewrite sum_swap; exact total).
  assert (Sq : sum (fun b => sum (q b) blocks) blocks = 1).
  { rewrite sum_swap. rewrite <- Nt. apply sum_ext. intros p Hp. unfold q. rewrite sum_scal.
    rewrite (sum_ext (fun b => if eq_dec b p then 1 - e else e / (k - 1))
      (fun b => (if eq_dec b p then 1 - e - e / (k - 1) else 0) + e / (k - 1))) by (intros b _; destruct (eq_dec b p); ring).
    rewrite sum_plus, sum_const, (sum_only eq_dec blocks p); auto.
    - destruct (eq_dec p p); [|congruence]. fold k. field. lra.
    - intros b H. destruct (eq_dec b p); congruence. }
  assert (Sn : sum (fun b => sum (fun p => joint b p * ln (name p)) blocks) blocks = sum (fun p => name p * ln (name p)) blocks).
  { rewrite sum_swap. apply sum_ext. intros p _. rewrite sum_scal_r. auto. }
  assert (Se : sum (fun b => sum (fun p => joint b p * (if eq_dec b p then ln (1 - e) else ln (e / (k - 1)))) blocks) blocks
    = (1 - e) * ln (1 - e) + e * ln (e / (k - 1))).
  { transitivity (sum (fun b => sum (fun p => ln (1 - e) * joint b p
      + (ln (e / (k - 1)) - ln (1 - e)) * (if eq_dec b p then 0 else joint b p)) blocks) blocks).
    - apply sum_ext. intros b _. apply sum_ext. intros p _. destruct (eq_dec b p); ring.
    - rewrite (sum_ext _ (fun b => ln (1 - e) * sum (joint b) blocks + (ln (e / (k - 1)) - ln (1 - e))
        * sum (fun p => if eq_dec b p then 0 else joint b p) blocks)) by (intros; rewrite sum_plus, !sum_scal; auto).
      rewrite sum_plus, !sum_scal, total. fold errs. fold e. ring. }
  assert (S2 : sum (fun b => sum (fun p => (q b p - joint b p) - joint b p * (ln (name p)
      + (if eq_dec b p then ln (1 - e) else ln (e / (k - 1))))) blocks) blocks
    = (1 - 1) - (sum (fun p => name p * ln (name p)) blocks + ((1 - e) * ln (1 - e) + e * ln (e / (k - 1))))).
  { rewrite <- Sq at 1. rewrite <- total at 1. rewrite <- Sn, <- Se. rewrite <- sum_minus, <- sum_plus, <- sum_minus.
    apply sum_ext. intros b _. rewrite <- sum_minus, <- sum_plus, <- sum_minus. apply sum_ext. intros p _. ring. }
  rewrite S2 in S1. rewrite (ln_div e (k - 1)) in S1 by lra.
  rewrite (sum_ext (fun b => sum (fun p => - (joint b p * ln (joint b p))) blocks)
    (fun b => - sum (fun p => joint b p * ln (joint b p)) blocks)), sum_opp in S1 by (intros; apply sum_opp). lra.
Qed.
End Pointer.

(* Instances. *)
Lemma plane_norm (x y : R) : x * x + y * y = 1 -> norm [true; false] (fun b : bool => if b then x else y) = 1.
Proof. intros H. unfold norm, dot. simpl. rewrite Rplus_0_r, H. apply sqrt_1. Qed.

Example anchor_margin_instance : let e1 := fun b : bool => if b then 1 else 0 in let e2 := fun b : bool => if b then 0 else 1 in
  3 * dot [true; false] e1 e1 - 3 * dot [true; false] e1 e2 >= Bound.anchor_margin (0 + 0) (PI / 2) 3.
Proof.
  intros e1 e2. assert (P := PI_RGT_0).
  apply (anchor_margin [true; false] e1 e1 e1 e2 e2 0 0); try lra; try (apply plane_norm; lra);
    rewrite ?cos_0, ?cos_PI2; unfold dot, e1, e2; simpl; lra.
Qed.

Example coherence_simplex_instance : -1 >= Bound.coherence_simplex 2.
Proof.
  assert (H := coherence_simplex [tt] [true; false] (fun (k : bool) (_ : unit) => if k then 1 else -1) (-1) Bool.bool_dec).
  unfold size in H. simpl in H. replace (1 + 1) with 2 in H by ring. apply H; try lra.
  - repeat constructor; simpl; intuition discriminate.
  - intros [|] _; rewrite norm_one; [rewrite Rabs_right|rewrite Rabs_left]; lra.
  - intros [|] [|] _ _ Nk; try congruence; unfold dot; simpl; lra.
Qed.

(* Four vectors of the plane, the two axes and their opposites: coherence 0. *)
Example coherence_levenshtein_instance : 0 >= Bound.coherence_levenshtein 4 2.
Proof.
  set (v := fun (k : nat) (b : bool) => match k with O => if b then 1 else 0 | 1%nat => if b then 0 else 1
    | 2%nat => if b then -1 else 0 | _ => if b then 0 else -1 end).
  assert (H := coherence_levenshtein [true; false] [0; 1; 2; 3]%nat v 0 Nat.eq_dec).
  unfold size in H. simpl in H. replace (1 + 1 + 1 + 1) with 4 in H by ring. replace (1 + 1) with 2 in H by ring.
  apply H; try lra; try discriminate.
  - repeat constructor; simpl; intuition discriminate.
  - intros [|[|[|k]]] _; unfold v; apply plane_norm; lra.
  - intros [|[|[|k]]] [|[|[|l]]] Hk Hl Nk; unfold v, dot; simpl; try lra; try congruence.
    simpl in Hk, Hl. exfalso. apply Nk. intuition lia.
Qed.

Example replication_slope_instance : is_derive (replicated 2 3 0) 4
  (Bound.replication_slope 4 (3 / (4 * exp 2 + 3)) (4 * exp 2 / (4 * exp 2 + 3)) (2 - 0)).
Proof. apply replication_slope; lra. Qed.

Example pointer_information_instance : let joint := fun b p : bool => if Bool.eqb b p then 3 / 8 else 1 / 8 in
  information [true; false] joint >= Bound.pointer_information (1 / 4) 2
    (- sum (fun b => prior [true; false] joint b * ln (prior [true; false] joint b)) [true; false]).
Proof.
  intros joint. assert (H := pointer_information [true; false] joint Bool.bool_dec).
  assert (E : errs [true; false] joint Bool.bool_dec = 1 / 4) by (unfold errs, joint; simpl; field).
  rewrite E in H. unfold size in H at 1 2. simpl in H. replace (1 + 1) with 2 in H by ring. apply H; try lra.
  - repeat constructor; simpl; intuition discriminate.
  - intros [|] [|] _ _; unfold joint; simpl; lra.
  - unfold joint. simpl. field.
Qed.

(* The forms that run are the expressions. *)
Theorem pointer_information_form prior eps K : 0 < eps < 1 -> 2 <= K ->
  Form.pointer_information prior eps K = Bound.pointer_information eps K prior.
Proof.
  intros E H. unfold Form.pointer_information, Bound.pointer_information.
  destruct (Rlt_dec 0 eps); [|lra]. destruct (Rlt_dec eps 1); [|lra]. rewrite Rmax_right by lra.
  replace (1 + - eps) with (1 - eps) by ring. ring.
Qed.

(* More vectors than coordinates are dependent: eliminate one coordinate with a vector that has it. *)
Lemma dependent {A K} (eq_dec : forall k l : K, {k = l} + {k <> l}) (I : list A) : forall (l : list K) (v : K -> A -> R),
  NoDup l -> (length I < length l)%nat ->
  exists c : K -> R, (exists k, In k l /\ c k <> 0) /\ forall i, In i I -> sum (fun k => c k * v k i) l = 0.
Proof.
  induction I as [|i0 I IH]; intros l v Nd Len.
  - destruct l as [|k l]; [simpl in Len; lia|]. exists (fun _ => 1). split; [exists k; simpl; split; [auto|lra]|].
    intros i [].
  - assert (D : (forall k, In k l -> v k i0 = 0) \/ exists p, In p l /\ v p i0 <> 0).
    { clear. induction l as [|a l IH]; [left; intros k []|]. destruct (Req_dec (v a i0) 0) as [Z|N].
      - destruct IH as [H|[p [Hp Np]]]; [left; intros k [<-|Hk]; auto|right; exists p; simpl; auto].
      - right. exists a. simpl. auto. }
    destruct D as [Z|[p [Hp Np]]].
    + destruct (IH l v Nd ltac:(simpl in Len; lia)) as [c [Nz H]]. exists c. split; auto. intros i [<-|Hi]; auto.
      apply sum_all_zero. intros k Hk. rewrite (Z k Hk). ring.
    + apply in_split in Hp. destruct Hp as (l1 & l2 & ->).
      assert (Nd' : NoDup (l1 ++ l2)) by (apply NoDup_remove_1 with p, Nd).
      assert (Np' : ~ In p (l1 ++ l2)) by (apply NoDup_remove_2, Nd).
      assert (Len' : (length I < length (l1 ++ l2))%nat) by (rewrite app_length in *; simpl in Len; lia).
      destruct (IH (l1 ++ l2) (fun k i => v k i - v k i0 / v p i0 * v p i) Nd' Len') as [c [[k [Hk Nz]] H]].
      set (cp := - sum (fun k => c k * (v k i0 / v p i0)) (l1 ++ l2)).
      exists (fun k => if eq_dec k p then cp else c k). split.
      * exists k. split; [apply in_app_or in Hk; apply in_or_app; simpl; tauto|].
        destruct (eq_dec k p) as [E0|]; [exfalso; apply Np'; rewrite <- E0; auto|auto].
      * assert (E : forall i, sum (fun k => (if eq_dec k p then cp else c k) * v k i) (l1 ++ p :: l2)
          = sum (fun k => c k * (v k i - v k i0 / v p i0 * v p i)) (l1 ++ l2)).
        { intros i. transitivity (cp * v p i + sum (fun k => c k * v k i) (l1 ++ l2)).
          - rewrite !sum_app. simpl. destruct (eq_dec p p) as [_|]; [|congruence].
            rewrite (sum_ext _ (fun k => c k * v k i) l1), (sum_ext _ (fun k => c k * v k i) l2); [ring| |];
              intros k0 Hk0; destruct (eq_dec k0 p) as [->|]; auto; exfalso; apply Np', in_or_app; auto.
          - unfold cp. rewrite <- Ropp_mult_distr_l, <- sum_scal_r.
            rewrite (sum_ext (fun k => c k * (v k i - _)) (fun k => c k * v k i - c k * (v k i0 / v p i0) * v p i)) by (intros; ring).
            rewrite sum_minus. ring. }
        intros i [<-|Hi]; rewrite E; auto. apply sum_all_zero. intros k0 _. field. auto.
Qed.

(* So d + 2 vectors of R^d are not pairwise obtuse: split a dependence of all but one by sign; the two halves are one
   vector z with <z,z> <= 0, and the last vector, obtuse to all, rules out a positive coefficient. *)
Theorem coherence_orthoplex {A K} (I : list A) (anchors : list K) (v : K -> A -> R) s
  (eq_dec : forall k l : K, {k = l} + {k <> l}) : NoDup anchors -> (length I + 2 <= length anchors)%nat ->
  (forall k l, In k anchors -> In l anchors -> k <> l -> dot I (v k) (v l) <= s) -> s >= Bound.coherence_orthoplex.
Proof.
  intros Nd Len Co. unfold Bound.coherence_orthoplex. destruct (Rle_lt_dec 0 s) as [|S]; [lra|]. exfalso.
  destruct anchors as [|last l]; [simpl in Len; lia|]. inversion Nd as [|? ? Nl Nd']; subst.
  destruct (dependent eq_dec I l v Nd' ltac:(simpl in Len; lia)) as [c [[k [Hk Nz]] H]].
  set (up := fun k => Rmax 0 (c k)). set (down := fun k => Rmax 0 (- c k)).
  assert (Up : forall k, 0 <= up k) by (intros; apply Rmax_l). assert (Dn : forall k, 0 <= down k) by (intros; apply Rmax_l).
  assert (Dec : forall k, c k = up k - down k).
  { intros j. unfold up, down, Rmax. destruct (Rle_dec 0 (c j)), (Rle_dec 0 (- c j)); lra. }
  assert (Dis : forall k, up k * down k = 0).
  { intros j. unfold up, down, Rmax. destruct (Rle_dec 0 (c j)), (Rle_dec 0 (- c j)); nra. }
  set (z := fun i => sum (fun k => up k * v k i) l). set (y := fun i => sum (fun k => down k * v k i) l).
  assert (Zy : forall i, In i I -> z i = y i).
  { intros i Hi. apply Rminus_diag_uniq. unfold z, y. rewrite <- sum_minus, <- (H i Hi). apply sum_ext. intros j _.
    rewrite Dec. ring. }
  assert (Zz : dot I z z = 0).
  { apply Rle_antisym; [|apply dot_self]. rewrite (dot_ext I z z z y) by auto.
    replace (dot I z y) with (sum (fun j => sum (fun k => up k * down j * dot I (v k) (v j)) l) l).
    - apply Rle_trans with (sum (fun _ : K => 0) l); [|rewrite sum_const; lra]. apply sum_le. intros j Hj.
      apply Rle_trans with (sum (fun _ : K => 0) l); [|rewrite sum_const; lra]. apply sum_le. intros k0 Hk0.
      destruct (eq_dec k0 j) as [->|Ne]; [rewrite Dis; lra|].
      assert (Ck := Co k0 j (or_intror Hk0) (or_intror Hj) Ne). assert (0 <= up k0 * down j) by (apply Rmult_le_pos; auto). nra.
    - unfold y. rewrite (dot_sum_r I z (fun j i => down j * v j i) l). apply sum_ext. intros j _.
      rewrite dot_scal_r, dot_comm. unfold z. rewrite (dot_sum_r I (v j) (fun k i => up k * v k i) l), <- sum_scal.
      apply sum_ext. intros k0 _. rewrite dot_scal_r, (dot_comm I (v j)). ring. }
  assert (Z0 : is_zero I z) by (apply norm_zero; unfold norm; rewrite Zz; apply sqrt_0).
  assert (None : forall w : K -> R, (forall k, 0 <= w k) -> (forall i, In i I -> sum (fun k => w k * v k i) l = 0) ->
    forall k, In k l -> w k = 0).
  { intros w Wp Wz j Hj.
    assert (T : sum (fun k => w k * - dot I (v last) (v k)) l = 0).
    { transitivity (- dot I (v last) (fun i => sum (fun k => w k * v k i) l)).
      - rewrite (dot_sum_r I (v last) (fun k i => w k * v k i) l), <- sum_opp. apply sum_ext. intros k0 _.
        rewrite dot_scal_r. ring.
      - rewrite (dot_ext I _ _ (v last) (fun _ => 0)) by auto. unfold dot. rewrite sum_all_zero; [ring|]. intros; ring. }
    assert (Ob : forall k, In k l -> 0 < - dot I (v last) (v k)).
    { intros k0 Hk0. assert (Ne : last <> k0) by (intros ->; contradiction).
      assert (Ck := Co last k0 (or_introl eq_refl) (or_intror Hk0) Ne). lra. }
    assert (Each := sum_zero (fun k => w k * - dot I (v last) (v k)) l
      ltac:(intros k0 Hk0; apply Rmult_le_pos; [auto|left; auto]) T j Hj). cbv beta in Each.
    assert (Oj := Ob j Hj). nra. }
  assert (U := None up Up Z0 k Hk). assert (D := None down Dn ltac:(intros i Hi; rewrite <- (Z0 i Hi); symmetry; apply (Zy i Hi)) k Hk).
  apply Nz. rewrite Dec, U, D. ring.
Qed.

(* The axes and their opposites: coherence 0 at K = 2 d, here d = 1 and d + 2 vectors would be three of the line. *)
Example coherence_orthoplex_instance : 1 >= Bound.coherence_orthoplex.
Proof.
  apply (coherence_orthoplex [tt] [0; 1; 2]%nat (fun (k : nat) (_ : unit) => if Nat.eqb k 2 then -1 else 1) 1 Nat.eq_dec).
  - repeat constructor; simpl; intuition discriminate.
  - simpl. lia.
  - intros k l _ _ _. unfold dot. simpl. destruct (Nat.eqb k 2), (Nat.eqb l 2); lra.
Qed.
