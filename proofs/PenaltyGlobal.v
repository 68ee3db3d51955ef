(* Penalty thresholds beyond levels A to D: the global threshold E, factorised heads, Adam (claims C3, C10).
   Mirrors bounds/penalty/theorems. *)

Require Import Reals Lra Psatz List Lia.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Vectors Attention Penalty.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

(* The landscape: in-block parameters p of any kind, cross groups c, the loss and its gradient in the cross groups. *)
Section Landscape.
Context {P B C : Type}.
Variables (groups : list B) (entries : list C).
Variables (loss : P -> (B -> C -> R) -> R) (grad : P -> (B -> C -> R) -> B -> C -> R) (localised : R).

Definition zero : B -> C -> R := fun _ _ => 0.
Definition width (c : B -> C -> R) : R := sum (fun b => norm entries (c b)) groups.
Definition slope (p : P) (c : B -> C -> R) (t : R) : R :=
  sum (fun b => dot entries (grad p (fun b e => t * c b e) b) (c b)) groups.
Definition differentiable : Prop := forall p c t, is_derive (fun t => loss p (fun b e => t * c b e)) t (slope p c t).
(* L_loc is at most the loss wherever every cross group is zero; (L_loc - L)/sum ||c_b|| is what a penalty must beat. *)
Definition infimum : Prop := forall p, localised <= loss p zero.
Definition witness (p : P) (c : B -> C -> R) : R := (localised - loss p c) / width c.

Lemma at_zero p c : loss p (fun b e => 0 * c b e) = loss p zero.
Proof.
  f_equal. apply FunctionalExtensionality.functional_extensionality. intros b.
  apply FunctionalExtensionality.functional_extensionality. intros e. unfold zero. ring.
Qed.
Lemma at_one p c : loss p (fun b e => 1 * c b e) = loss p c.
Proof.
  f_equal. apply FunctionalExtensionality.functional_extensionality. intros b.
  apply FunctionalExtensionality.functional_extensionality. intros e. ring.
Qed.
Lemma width_nonneg c : 0 <= width c.
Proof. apply sum_nonneg. intros. apply norm_nonneg. Qed.

Lemma slope_bound p c t g :
  (forall b, In b groups -> norm entries (grad p (fun b e => t * c b e) b) <= g) -> Rabs (slope p c t) <= g * width c.
Proof.
  intros H. unfold slope, width. apply Rle_trans with (1 := sum_abs _ _). rewrite <- sum_scal. apply sum_le. intros b Hb.
  apply Rle_trans with (1 := cauchy_schwarz_abs _ _ _). apply Rmult_le_compat_r; [apply norm_nonneg|auto].
Qed.

(* Below its largest gradient on the sublevel set: from the last point of the ray at level L_loc on, the loss falls by at
   most the length of the way times the largest slope there. *)
Theorem global_below_gradient p c gradient : differentiable -> infimum -> 0 < width c ->
  (forall p c b, In b groups -> loss p c <= localised -> norm entries (grad p c b) <= gradient) -> 0 <= gradient ->
  witness p c <= Bound.global_below_gradient gradient.
Proof.
  intros Df Inf W G G0. unfold Bound.global_below_gradient, witness.
  apply (Rmult_le_reg_r (width c)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  destruct (Rle_lt_dec localised (loss p c)) as [H|H]; [nra|].
  set (f := fun t => loss p (fun b e => t * c b e)).
  assert (Ct : forall t, continuity_pt f t).
  { intros t. apply continuity_pt_filterlim, (ex_derive_continuous f). eexists. apply Df. }
  (* the last time at level L_loc *)
  set (high := fun t => 0 <= t <= 1 /\ localised <= f t).
  assert (F0 : f 0 = loss p zero) by apply at_zero. assert (F1 : f 1 = loss p c) by apply at_one.
  destruct (completeness high) as [t0 [Up Low]].
  - exists 1. intros t [T _]. lra.
  - exists 0. split; [lra|]. rewrite F0. apply Inf.
  - assert (T0 : 0 <= t0 <= 1).
    { split; [apply Up; split; [lra|]; rewrite F0; apply Inf|]. apply Low. intros t [T _]. lra. }
    assert (Above : localised <= f t0).
    { destruct (Rle_lt_dec localised (f t0)) as [|K]; auto. exfalso.
      destruct (Ct t0 (localised - f t0) ltac:(lra)) as [d [D Near]].
      assert (t0 <= t0 - d / 2); [|lra]. apply Low. intros t [T Ht].
      destruct (Rle_lt_dec t (t0 - d / 2)) as [|Q]; auto. exfalso.
      assert (t <= t0) by (apply Up; split; auto).
      destruct (Req_dec t t0) as [->|Ne]; [lra|].
      specialize (Near t). simpl in Near. unfold R_dist, D_x, no_cond in Near.
      assert (N1 : Rabs (f t - f t0) < localised - f t0).
      { apply Near. split; [split; auto|]. rewrite Rabs_left1 by lra. lra. }
      assert (N2 := Rle_abs (f t - f t0)). lra. }
    assert (Lt : t0 < 1) by (destruct (Req_dec t0 1) as [->|]; [rewrite F1 in Above; lra|lra]).
    destruct (MVT_gen f t0 1 (slope p c)) as [t [T E]].
    + intros t _. apply Df.
    + intros t _. apply Ct.
    + rewrite Rmin_left, Rmax_right in T by lra.
      assert (Sub : f t <= localised \/ t = t0).
      { destruct (Req_dec t t0) as [|Ne]; [auto|]. left. destruct (Rle_lt_dec (f t) localised) as [|K]; auto. exfalso.
        assert (t <= t0); [|lra]. apply Up. split; [lra|]. lra. }
      (* the slope at t0 itself is that of points just beyond, but t can be moved there *)
      destruct Sub as [Sub| ->].
      * assert (Sb := slope_bound p c t gradient (fun b Hb => G p _ b Hb Sub)).
        assert (A := Rle_abs (- slope p c t)). rewrite Rabs_Ropp in A. rewrite F1 in E.
        assert (- slope p c t * (1 - t0) <= gradient * width c * 1) by (apply Rmult_le_compat; lra || nra). nra.
      * assert (Eq : f t0 = localised).
        { apply Rle_antisym; auto. destruct (Rle_lt_dec (f t0) localised) as [|K]; auto. exfalso.
          destruct (Ct t0 (f t0 - localised) ltac:(lra)) as [d [D Near]].
          set (t := t0 + Rmin d (1 - t0) / 2).
          assert (M1 := Rmin_l d (1 - t0)). assert (M2 := Rmin_r d (1 - t0)).
          assert (M3 : 0 < Rmin d (1 - t0)) by (apply Rmin_glb_lt; lra).
          assert (t <= t0); [|unfold t in *; lra]. apply Up. split; [unfold t; lra|].
          specialize (Near t). simpl in Near. unfold R_dist, D_x, no_cond in Near.
          assert (N1 : Rabs (f t - f t0) < f t0 - localised).
          { apply Near. unfold t. split; [split; auto; lra|]. rewrite Rabs_right by lra. lra. }
          assert (N2 := Rle_abs (- (f t - f t0))). rewrite Rabs_Ropp in N2. lra. }
        assert (Sb := slope_bound p c t0 gradient (fun b Hb => G p _ b Hb (Req_le _ _ Eq))).
        assert (A := Rle_abs (- slope p c t0)). rewrite Rabs_Ropp in A. rewrite F1 in E.
        assert (- slope p c t0 * (1 - t0) <= gradient * width c * 1) by (apply Rmult_le_compat; lra || nra). nra.
Qed.

(* A penalty that beats every witness makes every localised optimum a global minimiser, and one that some witness beats
   makes it none. *)
Theorem global_below_gradient_minimiser best lambda : infimum -> loss best zero = localised -> 0 <= lambda ->
  (forall p c, 0 < width c -> witness p c <= lambda) <->
  (forall p c, 0 < width c -> loss best zero <= loss p c + lambda * width c).
Proof.
  intros Inf L L0. split; intros H p c W; specialize (H p c W).
  - unfold witness in H. apply (Rmult_le_compat_r (width c)) in H; [|lra].
    unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
  - unfold witness. apply (Rmult_le_reg_r (width c)); auto. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(* lambda_crit <= lambda_glob: near the localised optimum witnesses come as close as one likes to the norm of any cross
   gradient there. *)
Theorem global_below_gradient_critical best b lambda (eq_dec : forall b b' : B, {b = b'} + {b <> b'}) : differentiable ->
  loss best zero = localised -> NoDup groups -> In b groups -> 0 <= lambda ->
  (forall p c, 0 < width c -> witness p c <= lambda) -> norm entries (grad best zero b) <= lambda.
Proof.
  intros Df L Nd Hb L0 H. set (g := grad best zero b). destruct (Rle_lt_dec (norm entries g) lambda) as [|K]; auto. exfalso.
  set (c := fun b' e => if eq_dec b' b then - g e else 0).
  assert (Nc : forall b' , norm entries (c b') = if eq_dec b' b then norm entries g else 0).
  { intros b'. unfold c. destruct (eq_dec b' b); [apply norm_opp|apply norm_null]. }
  assert (W : width c = norm entries g).
  { unfold width. rewrite (sum_only eq_dec groups b (fun b' => norm entries (c b'))); auto.
    - rewrite Nc. destruct (eq_dec b b); congruence.
    - intros b' D. rewrite Nc. destruct (eq_dec b' b); congruence. }
  assert (S0 : slope best c 0 = - (norm entries g * norm entries g)).
  { unfold slope. rewrite (sum_only eq_dec groups b (fun b' => dot entries (grad best (fun b e => 0 * c b e) b') (c b'))); auto.
    - replace (fun b0 e => 0 * c b0 e) with zero.
      2: { apply FunctionalExtensionality.functional_extensionality. intros b'.
           apply FunctionalExtensionality.functional_extensionality. intros e. unfold zero. ring. }
      fold g. rewrite norm_sq. transitivity (dot entries g (fun e => - g e)).
      + apply dot_ext; auto. intros e _. unfold c. destruct (eq_dec b b); congruence.
      + unfold dot. rewrite <- sum_opp. apply sum_ext. intros. ring.
    - intros b' D. apply sum_all_zero. intros e _. unfold c. destruct (eq_dec b' b); [congruence|ring]. }
  set (n := norm entries g) in *. assert (N0 : 0 < n) by lra.
  assert (D := Df best c 0). rewrite S0 in D. apply is_derive_Reals in D.
  destruct (D (n * (n - lambda)) ltac:(nra)) as [d Hd]. set (t := d / 2).
  assert (T : 0 < t < d) by (unfold t; assert (Q := cond_pos d); lra).
  specialize (Hd t ltac:(lra)). rewrite Rabs_right in Hd by lra. specialize (Hd (proj2 T)).
  rewrite Rplus_0_l, at_zero, L in Hd. apply Rabs_def2 in Hd. destruct Hd as [Hd _].
  set (ct := fun b' e => t * c b' e) in *.
  assert (Wt : width ct = t * n).
  { unfold ct, width. rewrite <- W. unfold width. rewrite <- sum_scal. apply sum_ext. intros b' _.
    rewrite norm_scal, Rabs_right; lra. }
  assert (Q : (loss best ct - localised) / t < - (n * lambda)) by lra.
  specialize (H best ct ltac:(rewrite Wt; nra)). unfold witness in H. rewrite Wt in H.
  replace ((localised - loss best ct) / (t * n)) with (- ((loss best ct - localised) / t) / n) in H by (field; lra).
  apply (Rmult_le_compat_r n) in H; [|lra]. unfold Rdiv at 1 in H. rewrite Rmult_assoc, Rinv_l in H by lra. lra.
Qed.

(* Curvature and gain: along a ray the gain is at most g t + M t^2 / 2, and at most Delta. *)
Theorem curvature_gain p c gradient M Delta : infimum -> 0 < width c -> 0 <= gradient -> 0 < M -> 0 <= Delta ->
  loss p zero - loss p c <= gradient * width c + M * (width c * width c) / 2 ->
  localised - loss p c <= Delta ->
  witness p c <= Bound.curvature_gain gradient M Delta.
Proof.
  intros Inf W G HM D Ray Gain. specialize (Inf p). unfold witness, Bound.curvature_gain. set (w := width c) in *.
  set (r := sqrt (2 * Delta * M + gradient ^ 2)).
  assert (R2 : r * r = 2 * Delta * M + gradient ^ 2) by (apply sqrt_sqrt; assert (0 <= Delta * M) by sign; nra).
  assert (R0 : 0 <= r) by apply sqrt_pos. assert (Rg : gradient <= r).
  { apply Rsqr_incr_0_var; auto. unfold Rsqr. rewrite R2. assert (0 <= Delta * M) by sign. nra. }
  apply (Rmult_le_reg_r w); auto. unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
  destruct (Rle_lt_dec (gradient + M * w / 2) (gradient / 2 + r / 2)) as [H|H].
  - assert ((gradient + M * w / 2) * w <= (gradient / 2 + r / 2) * w) by (apply Rmult_le_compat_r; lra). nra.
  - assert (Mw : r - gradient < M * w) by lra.
    assert (Q : (gradient + r) * (r - gradient) <= (gradient + r) * (M * w)) by (apply Rmult_le_compat_l; lra).
    assert (Pq : (gradient + r) * (r - gradient) = 2 * Delta * M) by nra.
    apply Rle_trans with Delta; [lra|]. apply (Rmult_le_reg_l (2 * M)); [lra|]. nra.
Qed.

(* The bound on the ray, from slope and curvature: Taylor with the Lagrange remainder. *)
End Landscape.

Theorem curvature_gain_ray (f : R -> R) (f' f'' : R -> R) w gradient M : 0 <= w ->
  (forall t, is_derive f t (f' t)) -> (forall t, is_derive f' t (f'' t)) ->
  - (gradient * w) <= f' 0 -> (forall t, 0 <= t <= 1 -> - (M * (w * w)) <= f'' t) ->
  f 0 - f 1 <= gradient * w + M * (w * w) / 2.
Proof.
  intros W D1 D2 G K. set (h := fun t => f t - f' 0 * t + M * (w * w) * (t * t) / 2).
  assert (C : forall (g g' : R -> R), (forall t, is_derive g t (g' t)) -> forall t, continuity_pt g t).
  { intros g g' D t. apply continuity_pt_filterlim, (ex_derive_continuous g). eexists. apply D. }
  assert (Dh : forall t, is_derive h t (f' t - f' 0 + M * (w * w) * t)).
  { intros t. unfold h. evar_last.
    - apply @is_derive_plus; [apply @is_derive_minus; [apply D1|]|]; [|]; auto_derive; auto.
    - simpl. unfold plus, minus, opp. simpl. unfold plus, opp. simpl. field. }
  destruct (MVT_gen h 0 1 (fun t => f' t - f' 0 + M * (w * w) * t)) as [t [T E]].
  - intros; apply Dh.
  - intros x _. apply (C h _ Dh).
  - rewrite Rmin_left, Rmax_right in T by lra.
    destruct (MVT_gen f' 0 t f'') as [s [S E']].
    + intros; apply D2.
    + intros x _. apply (C f' _ D2).
    + rewrite Rmin_left, Rmax_right in S by lra. specialize (K s ltac:(lra)). unfold h in E.
      assert (0 <= (f'' s + M * (w * w)) * t) by (apply Rmult_le_pos; lra). nra.
Qed.


(* Factorised heads. Query factors Q_b and key factors K_c of the blocks that the head does not own, owned factors of
   norm kappa at most; the gradient of the loss in the form of a pair of blocks is Gamma, of norm gamma at most. Then the
   gradient in an active query factor is a sum over all key factors, and has norm lambda where the point is stationary:
   lambda <= gamma (kappa + S_K); likewise for key factors. *)
Theorem factorised_heads {B} (others : list B) (normQ normK : B -> R) lambda gamma kappa loss F0 :
  (forall b, In b others -> 0 <= normQ b /\ 0 <= normK b) -> 0 <= gamma -> 0 <= kappa -> 0 <= loss -> 0 < lambda ->
  (forall b, In b others -> 0 < normQ b -> lambda <= gamma * (kappa + sum normK others)) ->
  (forall b, In b others -> 0 < normK b -> lambda <= gamma * (kappa + sum normQ others)) ->
  loss + lambda * (sum normQ others + sum normK others) <= F0 ->
  (exists b, In b others /\ (0 < normQ b \/ 0 < normK b)) ->
  lambda <= Bound.factorised_heads gamma F0 kappa.
Proof.
  intros N G Kp L0 Lam StQ StK Obj [b [Hb Act]]. unfold Bound.factorised_heads.
  set (SQ := sum normQ others) in *. set (SK := sum normK others) in *.
  assert (PQ : 0 <= SQ) by (apply sum_nonneg; intros; apply N; auto).
  assert (PK : 0 <= SK) by (apply sum_nonneg; intros; apply N; auto).
  assert (F : lambda * (SQ + SK) <= F0) by lra.
  (* the smaller sum serves: it belongs to an inactive side, or both sides are active *)
  assert (Key : lambda <= gamma * (kappa + Rmin SQ SK)).
  { assert (ZQ : (forall b, In b others -> normQ b = 0) \/ exists b, In b others /\ 0 < normQ b).
    { clear - N. induction others as [|a l IH]; [left; simpl; tauto|].
      destruct (N a (or_introl eq_refl)) as [[P|P] _]; [right; exists a; simpl; auto|].
      destruct IH as [Z|[x [Hx Px]]]; [intros; apply N; simpl; auto| |right; exists x; simpl; auto].
      left. intros x [<-|Hx]; auto. }
    assert (ZK : (forall b, In b others -> normK b = 0) \/ exists b, In b others /\ 0 < normK b).
    { clear - N. induction others as [|a l IH]; [left; simpl; tauto|].
      destruct (N a (or_introl eq_refl)) as [_ [P|P]]; [right; exists a; simpl; auto|].
      destruct IH as [Z|[x [Hx Px]]]; [intros; apply N; simpl; auto| |right; exists x; simpl; auto].
      left. intros x [<-|Hx]; auto. }
    destruct ZQ as [ZQ|[q [Hq Pq]]], ZK as [ZK|[k [Hk Pk]]].
    - exfalso. destruct Act as [A|A]; [rewrite (ZQ b Hb) in A|rewrite (ZK b Hb) in A]; lra.
    - assert (SQ = 0) by (apply sum_all_zero; auto). specialize (StK k Hk Pk). rewrite Rmin_left by lra. auto.
    - assert (SK = 0) by (apply sum_all_zero; auto). specialize (StQ q Hq Pq). rewrite Rmin_right by lra. auto.
    - specialize (StQ q Hq Pq). specialize (StK k Hk Pk). unfold Rmin. destruct (Rle_dec SQ SK); auto. }
  assert (Sm : 2 * lambda * Rmin SQ SK <= F0).
  { assert (A := Rmin_l SQ SK). assert (A' := Rmin_r SQ SK). nra. }
  set (m := Rmin SQ SK) in *.
  assert (Quad : lambda * lambda <= gamma * kappa * lambda + gamma * F0 / 2).
  { assert (lambda * lambda <= lambda * (gamma * (kappa + m))) by (apply Rmult_le_compat_l; lra).
    assert (gamma * (2 * lambda * m) <= gamma * F0) by (apply Rmult_le_compat_l; lra). nra. }
  set (r := sqrt (2 * F0 * gamma + gamma ^ 2 * kappa ^ 2)).
  assert (F00 : 0 <= F0) by (assert (0 <= lambda * (SQ + SK)) by sign; lra).
  assert (Rr : r * r = 2 * F0 * gamma + gamma ^ 2 * kappa ^ 2).
  { apply sqrt_sqrt. assert (0 <= F0 * gamma) by sign. assert (0 <= (gamma * kappa) * (gamma * kappa)) by nra. nra. }
  assert (R0 : 0 <= r) by apply sqrt_pos.
  destruct (Rle_lt_dec (2 * lambda - gamma * kappa) r) as [|H]; [lra|]. exfalso.
  assert (r * r < (2 * lambda - gamma * kappa) * (2 * lambda - gamma * kappa)) by (apply Rmult_le_0_lt_compat; auto). nra.
Qed.

(* Sharp at kappa = 0: one pair of factors of norm s each, gamma = 1, lambda = s, nothing else in the loss. *)
Theorem factorised_heads_attained s : 0 < s ->
  s <= 1 * (0 + sum (fun _ : unit => s) [tt]) /\ Bound.factorised_heads 1 (0 + s * (s + s)) 0 = s.
Proof.
  intros S. split; [simpl; lra|]. unfold Bound.factorised_heads.
  replace (2 * (0 + s * (s + s)) * 1 + 1 ^ 2 * 0 ^ 2) with ((2 * s) * (2 * s)) by ring. rewrite sqrt_square by lra. field.
Qed.

(* Where the hypotheses of stationarity come from: an active factor with 0 = (sum of Gamma_c applied to K_c) + lambda Q/||Q||. *)
Theorem factorised_heads_stationary {I} (coords : list I) {B} (others : list B) (own : I -> R) (part : B -> I -> R)
  (normK : B -> R) (q : I -> R) lambda gamma kappa : 0 <= lambda -> ~ is_zero coords q ->
  norm coords own <= gamma * kappa -> (forall c, In c others -> norm coords (part c) <= gamma * normK c) ->
  (forall i, In i coords -> own i + sum (fun c => part c i) others + lambda * (q i / norm coords q) = 0) ->
  lambda <= gamma * (kappa + sum normK others).
Proof.
  intros L Nz Own Pt St. assert (Nq := norm_pos coords q Nz).
  assert (E : norm coords (fun i => own i + sum (fun c => part c i) others) = lambda).
  { rewrite (norm_ext coords _ (fun i => - (lambda / norm coords q) * q i)).
    - rewrite norm_scal, Rabs_Ropp, Rabs_right by (apply Rle_ge; sign). field. lra.
    - intros i Hi. specialize (St i Hi). unfold Rdiv in *. lra. }
  rewrite <- E. apply Rle_trans with (1 := triangle coords own _).
  assert (S := norm_sum coords part others).
  apply Rle_trans with (gamma * kappa + sum (fun c => gamma * normK c) others); [|rewrite sum_scal; lra].
  apply Rplus_le_compat; auto. apply Rle_trans with (1 := S). apply sum_le. exact Pt.
Qed.

(* Adam: m_t and v_t are weighted sums of the gradients and of their squares; Cauchy-Schwarz with the weights b2^j. *)
Section Adam.
Variables (b1 b2 : R) (g : nat -> R).
Hypothesis decay1 : 0 <= b1 < 1.
Hypothesis decay2 : 0 < b2 < 1.

Fixpoint first_moment (t : nat) : R := match t with O => 0 | S t => b1 * first_moment t + (1 - b1) * g t end.
Fixpoint second_moment (t : nat) : R := match t with O => 0 | S t => b2 * second_moment t + (1 - b2) * (g t * g t) end.
Fixpoint geometric (q : R) (t : nat) : R := match t with O => 0 | S t => q * geometric q t + 1 end.
Definition adam_step (t : nat) : R := (first_moment t / (1 - b1 ^ t)) / sqrt (second_moment t / (1 - b2 ^ t)).

Lemma geometric_is q t : (1 - q) * geometric q t = 1 - q ^ t.
Proof. induction t; simpl; [ring|]. replace ((1 - q) * (q * geometric q t + 1)) with (q * ((1 - q) * geometric q t) + (1 - q)) by ring. rewrite IHt. ring. Qed.

Lemma second_nonneg t : 0 <= second_moment t.
Proof. induction t; simpl; [lra|]. assert (0 <= g t * g t) by nra. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. Qed.
Lemma geometric_nonneg q t : 0 <= q -> 0 <= geometric q t.
Proof. intros Q. induction t; simpl; [lra|]. nra. Qed.

(* m^2 / (1-b1)^2 <= (sum q^j) v / (1-b2), q = b1^2/b2: by induction, each step a discriminant. *)
Lemma moments t : first_moment t * first_moment t * (1 - b2)
  <= (1 - b1) * (1 - b1) * geometric (b1 ^ 2 / b2) t * second_moment t.
Proof.
  set (q := b1 ^ 2 / b2). assert (Q : 0 <= q) by (unfold q; assert (Bs := pow2_ge_0 b1); sign).
  assert (Qb : q * b2 = b1 * b1) by (unfold q; field; lra).
  induction t as [|t IH]; simpl; [lra|].
  set (m := first_moment t) in *. set (v := second_moment t) in *. set (s := geometric q t) in *.
  assert (V := second_nonneg t). assert (G := geometric_nonneg q t Q). fold v in V. fold s in G.
  set (x := g t). set (a := 1 - b1) in *. set (e := 1 - b2) in *. assert (A : 0 < a) by (unfold a; lra).
  assert (E : 0 < e) by (unfold e; lra).
  (* 2 b1 a m x e <= a^2 (q s e x^2 + b2 v): arithmetic and geometric mean *)
  assert (Am : 2 * (b1 * a * m * x * e) <= a * a * (q * s * e * (x * x) + b2 * v)).
  { destruct (Req_dec s 0) as [S0|S0].
    - rewrite S0 in IH. assert (M0 : m = 0).
      { apply Rsqr_0_uniq. unfold Rsqr. assert (0 <= m * m) by nra. apply Rle_antisym; auto.
        apply (Rmult_le_reg_r e); auto. rewrite Rmult_0_l. apply Rle_trans with (1 := IH). right. ring. }
      rewrite M0. assert (0 <= a * a * (b2 * v)) by (apply Rmult_le_pos; [nra|apply Rmult_le_pos; lra]).
      assert (0 <= a * a * (q * s * e * (x * x))) by (rewrite S0; lra). lra.
    - assert (Sp : 0 < s) by lra.
      assert (Sq := pow2_ge_0 (b1 * m - a * q * s * x)).
      (* (b1 m)^2 e + (a q s x)^2 e >= 2 b1 m a q s x e, and (b1 m)^2 e <= q b2 a^2 s v *)
      assert (I1 : b1 * b1 * (m * m * e) <= b1 * b1 * (a * a * s * v)) by (apply Rmult_le_compat_l; nra).
      rewrite <- Qb in I1.
      assert (I2 : 2 * (b1 * m) * (a * q * s * x) * e <= ((b1 * m) ^ 2 + (a * q * s * x) ^ 2) * e) by (apply Rmult_le_compat_r; nra).
      destruct (Req_dec q 0) as [Q0|Q0].
      + assert (B1 : b1 = 0) by (rewrite Q0 in Qb; nra). rewrite B1.
        assert (0 <= a * a * (q * s * e * (x * x))) by (rewrite Q0; lra).
        assert (0 <= a * a * (b2 * v)) by (apply Rmult_le_pos; [nra|apply Rmult_le_pos; lra]). lra.
      + assert (Qp : 0 < q * s) by (apply Rmult_lt_0_compat; lra). apply (Rmult_le_reg_l (q * s)); auto.
        replace (q * b2 * (m * m * e)) with ((b1 * m) ^ 2 * e) in I1 by (rewrite Qb; ring).
        replace (q * s * (2 * (b1 * a * m * x * e))) with (2 * (b1 * m) * (a * q * s * x) * e) by ring.
        replace (q * s * (a * a * (q * s * e * (x * x) + b2 * v)))
          with ((a * q * s * x) ^ 2 * e + q * b2 * (a * a * s * v)) by ring. lra. }
  replace ((b1 * m + a * x) * (b1 * m + a * x) * e)
    with (b1 * b1 * (m * m * e) + 2 * (b1 * a * m * x * e) + a * a * (x * x) * e) by ring.
  replace (a * a * (q * s + 1) * (b2 * v + e * (x * x)))
    with (q * b2 * (a * a * s * v) + a * a * (q * s * e * (x * x) + b2 * v) + a * a * (x * x) * e) by ring.
  assert (b1 * b1 * (m * m * e) <= b1 * b1 * (a * a * s * v)) by (apply Rmult_le_compat_l; nra). rewrite Qb. lra.
Qed.

Lemma powers t : (0 < t)%nat -> 0 <= b1 ^ t < 1 /\ 0 < b2 ^ t < 1.
Proof.
  intros T. destruct t as [|t]; [lia|]. simpl.
  assert (0 <= b1 ^ t <= 1) by (split; [apply pow_le; lra|rewrite <- (pow1 t); apply pow_incr; lra]).
  assert (0 < b2 ^ t <= 1) by (split; [apply pow_lt; lra|rewrite <- (pow1 t); apply pow_incr; lra]). nra.
Qed.

Theorem adam_update t : (0 < t)%nat -> b1 ^ 2 < b2 -> 0 < second_moment t ->
  Rabs (adam_step t) <= Bound.adam_update t b1 b2.
Proof.
  intros T Q V. destruct (powers t T) as [P1 P2]. set (q := b1 ^ 2 / b2).
  assert (Q0 : 0 <= q) by (unfold q; assert (Bs := pow2_ge_0 b1); sign).
  assert (Q1 : q < 1) by (unfold q; apply (Rmult_lt_reg_r b2); [lra|]; unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra).
  unfold adam_step, Bound.adam_update. fold q. assert (M := moments t). fold q in M.
  assert (Ge := geometric_is q t). set (s := geometric q t) in *.
  set (m := first_moment t) in *. set (v := second_moment t) in *.
  set (V' := v / (1 - b2 ^ t)). assert (Vp : 0 < V') by (unfold V'; apply Rdiv_lt_0_compat; lra).
  set (Sv := sqrt V'). assert (Sp : 0 < Sv) by (apply sqrt_lt_R0; auto).
  assert (Sq : Sv * Sv = V') by (apply sqrt_sqrt; lra).
  set (U := sqrt ((1 - b2 ^ t) * (1 - q ^ t) / ((1 - b2) * (1 - q)))).
  assert (Gn : 0 <= s) by (apply geometric_nonneg; auto).
  assert (Rad : 0 <= (1 - b2 ^ t) * (1 - q ^ t) / ((1 - b2) * (1 - q))).
  { rewrite <- Ge. replace ((1 - b2 ^ t) * ((1 - q) * s) / ((1 - b2) * (1 - q))) with ((1 - b2 ^ t) * s / (1 - b2)) by (field; lra).
    apply Rmult_le_pos; [apply Rmult_le_pos; lra|left; apply Rinv_0_lt_compat; lra]. }
  assert (U2 : U * U = (1 - b2 ^ t) * s / (1 - b2)).
  { unfold U. rewrite sqrt_sqrt by auto. rewrite <- Ge. field. lra. }
  assert (U0 : 0 <= U) by apply sqrt_pos.
  assert (Key : Rabs m <= U * (1 - b1) * Sv).
  { apply Rsqr_incr_0_var; [|repeat apply Rmult_le_pos; lra]. rewrite <- Rsqr_abs. unfold Rsqr.
    replace (U * (1 - b1) * Sv * (U * (1 - b1) * Sv)) with ((1 - b1) * (1 - b1) * (U * U) * (Sv * Sv)) by ring.
    rewrite U2, Sq. unfold V'. apply (Rmult_le_reg_r (1 - b2)); [lra|].
    replace ((1 - b1) * (1 - b1) * ((1 - b2 ^ t) * s / (1 - b2)) * (v / (1 - b2 ^ t)) * (1 - b2))
      with ((1 - b1) * (1 - b1) * s * v) by (field; lra). exact M. }
  unfold Rdiv at 1. rewrite !Rabs_mult. unfold Rdiv at 1. rewrite Rabs_mult.
  rewrite (Rabs_right (/ (1 - b1 ^ t))) by (apply Rle_ge; left; apply Rinv_0_lt_compat; lra).
  rewrite (Rabs_right (/ Sv)) by (apply Rle_ge; left; apply Rinv_0_lt_compat; lra).
  apply (Rmult_le_reg_r (Sv * (1 - b1 ^ t))); [apply Rmult_lt_0_compat; lra|].
  replace (Rabs m * / (1 - b1 ^ t) * / Sv * (Sv * (1 - b1 ^ t))) with (Rabs m) by (field; lra).
  replace (U * (1 - b1) / (1 - b1 ^ t) * (Sv * (1 - b1 ^ t))) with (U * (1 - b1) * Sv) by (field; lra). exact Key.
Qed.

(* U_t <= U: (1-B)(1-C) <= (1 - sqrt(B C))^2 with B = b2^t, C = q^t, and sqrt(B C) = b1^t. *)
Theorem adam_update_limit t : (0 < t)%nat -> b1 ^ 2 < b2 ->
  Bound.adam_update t b1 b2 <= (1 - b1) / sqrt ((1 - b2) * (1 - b1 ^ 2 / b2)).
Proof.
  intros T Q. destruct (powers t T) as [P1 P2]. unfold Bound.adam_update. set (q := b1 ^ 2 / b2).
  assert (Q0 : 0 <= q) by (unfold q; assert (Bs := pow2_ge_0 b1); sign).
  assert (Q1 : q < 1) by (unfold q; apply (Rmult_lt_reg_r b2); [lra|]; unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra).
  assert (Qt : 0 <= q ^ t <= 1) by (split; [apply pow_le; auto|rewrite <- (pow1 t); apply pow_incr; lra]).
  assert (Prod : b2 ^ t * q ^ t = b1 ^ t * b1 ^ t).
  { rewrite <- !Rpow_mult_distr. f_equal. unfold q. field. lra. }
  set (D := (1 - b2) * (1 - q)). assert (Dp : 0 < D) by (unfold D; apply Rmult_lt_0_compat; lra).
  assert (Sd : 0 < sqrt D) by (apply sqrt_lt_R0; auto).
  rewrite sqrt_div; [|apply Rmult_le_pos; lra|auto].
  assert (Le : sqrt ((1 - b2 ^ t) * (1 - q ^ t)) <= 1 - b1 ^ t).
  { rewrite <- (sqrt_square (1 - b1 ^ t)) by lra. apply sqrt_le_1_alt.
    assert (Sq := sqrt_pos (b2 ^ t)). assert (Am : 2 * b1 ^ t <= b2 ^ t + q ^ t).
    { assert ((b2 ^ t + q ^ t) * (b2 ^ t + q ^ t) >= 2 * b1 ^ t * (2 * b1 ^ t)).
      { assert (Z := pow2_ge_0 (b2 ^ t - q ^ t)). nra. }
      destruct (Rle_lt_dec (2 * b1 ^ t) (b2 ^ t + q ^ t)) as [|H']; auto. exfalso.
      assert ((b2 ^ t + q ^ t) * (b2 ^ t + q ^ t) < 2 * b1 ^ t * (2 * b1 ^ t)) by (apply Rmult_le_0_lt_compat; lra). lra. }
    nra. }
  apply (Rmult_le_reg_r (sqrt D * (1 - b1 ^ t))); [apply Rmult_lt_0_compat; lra|].
  replace (sqrt ((1 - b2 ^ t) * (1 - q ^ t)) / sqrt D * (1 - b1) / (1 - b1 ^ t) * (sqrt D * (1 - b1 ^ t)))
    with (sqrt ((1 - b2 ^ t) * (1 - q ^ t)) * (1 - b1)) by (field; lra).
  replace ((1 - b1) / sqrt D * (sqrt D * (1 - b1 ^ t))) with ((1 - b1 ^ t) * (1 - b1)) by (field; lra).
  apply Rmult_le_compat_r; lra.
Qed.
End Adam.

(* With a decoupled proximal step after Adam's update a penalty of U sqrt(size) keeps a zero group at zero, whatever the
   gradients: every coordinate of the update is at most U. *)
Theorem adam_threshold {I} (coords : list I) b1 b2 (g : I -> nat -> R) eta lambda t : 0 <= b1 < 1 -> 0 < b2 < 1 ->
  b1 ^ 2 < b2 -> (0 < t)%nat -> 0 < eta -> (forall i, In i coords -> 0 < second_moment b2 (g i) t) ->
  lambda >= Bound.adam_threshold b1 b2 (size coords) ->
  is_zero coords (prox coords (eta * lambda) (fun i => 0 - eta * adam_step b1 b2 (g i) t)).
Proof.
  intros B1 B2 Q T E V L. intros i Hi. apply prox_short; auto.
  rewrite (norm_ext coords _ (fun i => - (eta * adam_step b1 b2 (g i) t))) by (intros; ring).
  rewrite norm_opp, norm_scal, Rabs_right by lra. apply Rmult_le_compat_l; [lra|].
  set (U := (1 - b1) / sqrt ((1 - b2) * (1 - b1 ^ 2 / b2))).
  assert (U0 : 0 <= U).
  { unfold U. apply Rmult_le_pos; [lra|]. left. apply Rinv_0_lt_compat, sqrt_lt_R0. apply Rmult_lt_0_compat; [lra|].
    assert (b1 ^ 2 / b2 < 1); [|lra]. apply (Rmult_lt_reg_r b2); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra. }
  apply Rle_trans with (sqrt (size coords) * U).
  - apply norm_le; [apply Rmult_le_pos; [apply sqrt_pos|auto]|].
    replace (sqrt (size coords) * U * (sqrt (size coords) * U)) with (size coords * (U * U)).
    + rewrite <- sum_const. apply sum_le. intros k Hk.
      assert (A := adam_update b1 b2 (g k) B1 B2 t T Q (V k Hk)).
      assert (A' := adam_update_limit b1 b2 B1 B2 t T Q). fold U in A'.
      assert (Ab := Rabs_pos (adam_step b1 b2 (g k) t)).
      replace (adam_step b1 b2 (g k) t * adam_step b1 b2 (g k) t)
        with (Rabs (adam_step b1 b2 (g k) t) * Rabs (adam_step b1 b2 (g k) t)); [nra|].
      rewrite <- Rabs_mult. apply Rabs_right. nra.
    + assert (S := sqrt_sqrt (size coords) (size_nonneg coords)). rewrite <- S at 1. ring.
  - unfold Bound.adam_threshold in L. apply Rge_le in L. unfold U.
    replace (sqrt (size coords) * ((1 - b1) / sqrt ((1 - b2) * (1 - b1 ^ 2 / b2))))
      with (sqrt (size coords) * (1 - b1) / sqrt ((1 - b2) * (1 - b1 ^ 2 / b2))) by (unfold Rdiv; ring). exact L.
Qed.

(* Level E from quadratic majorants, query by query. Means over all N queries; w_i = C^T x_i. [Quad i w] is w^T M_i w. *)
Theorem quadratic_dual {P Q B E} (queries : list Q) (groups : list B) (entries : list E) (N : R)
  (term : Q -> P -> (E -> R) -> R) (pull : Q -> (B -> E -> R) -> E -> R) (Quad : Q -> (E -> R) -> R) (Psi size_x : Q -> R)
  (p : P) (c : B -> E -> R) localised infimum_of kept offset quadratic n :
  0 < N -> 0 < n -> sum (fun b => norm entries (c b)) groups = n -> 0 <= kept <= 1 -> infimum_of <= localised ->
  0 <= quadratic ->
  (forall i, In i queries -> norm entries (pull i c) <= n * size_x i) ->
  (forall i w, In i queries -> norm entries w <= n * size_x i ->
     kept * term i p (fun _ => 0) - term i p w <= Psi i + Quad i w) ->
  offset = sum Psi queries / N ->
  sum (fun i => Quad i (pull i c)) queries / N <= quadratic * sum (fun b => norm entries (c b) * norm entries (c b)) groups ->
  infimum_of <= sum (fun i => term i p (fun _ => 0)) queries / N ->
  (infimum_of - sum (fun i => term i p (pull i c)) queries / N) / n <= Bound.quadratic_dual localised kept offset quadratic n.
Proof.
  intros HN Hn Hc K Inf L0 Pull Maj Off Top Loc. unfold Bound.quadratic_dual.
  apply Rmult_le_compat_r; [left; sign|].
  assert (Sq : sum (fun b => norm entries (c b) * norm entries (c b)) groups <= n ^ 2).
  { rewrite <- Hc. clear. set (f := fun b => norm entries (c b)).
    assert (F : forall b, 0 <= f b) by (intros; apply norm_nonneg).
    change (sum (fun b => f b * f b) groups <= (sum f groups) ^ 2).
    induction groups as [|b l IH]; simpl; [lra|]. assert (0 <= sum f l) by (apply sum_nonneg; auto). specialize (F b). nra. }
  assert (T : kept * (sum (fun i => term i p (fun _ => 0)) queries / N) - sum (fun i => term i p (pull i c)) queries / N
    <= offset + sum (fun i => Quad i (pull i c)) queries / N).
  { rewrite Off. unfold Rdiv. rewrite <- Rmult_assoc, <- !Rmult_minus_distr_r, <- Rmult_plus_distr_r.
    apply Rmult_le_compat_r; [left; sign|]. rewrite <- sum_scal, <- sum_minus, <- sum_plus. apply sum_le.
    intros i Hi. apply Maj; auto. }
  assert (Q1 : quadratic * sum (fun b => norm entries (c b) * norm entries (c b)) groups <= quadratic * n ^ 2)
    by (apply Rmult_le_compat_l; auto).
  assert (K1 : kept * infimum_of <= kept * (sum (fun i => term i p (fun _ => 0)) queries / N)) by (apply Rmult_le_compat_l; lra).
  assert (K2 : (1 - kept) * infimum_of <= (1 - kept) * localised) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(* Instances. One cross weight c with the loss -c/2: its gradient is 1/2 everywhere, and the witness reaches it. *)
Definition slide (_ : unit) (c : unit -> unit -> R) : R := - (c tt tt / 2).
Definition slide_grad (_ : unit) (_ : unit -> unit -> R) (_ _ : unit) : R := - (1 / 2).
Lemma slide_differentiable : differentiable [tt] [tt] slide slide_grad.
Proof. intros p c t. unfold slide, slope, slide_grad, dot. simpl. auto_derive; auto. field. Qed.
Lemma slide_infimum : infimum (B := unit) (C := unit) slide 0.
Proof. intros p. unfold slide, zero. lra. Qed.
Lemma slide_width : width [tt] [tt] (fun _ _ : unit => 1) = 1.
Proof. unfold width. simpl. rewrite norm_one, Rabs_R1. ring. Qed.

Example global_below_gradient_instance : witness [tt] [tt] slide 0 tt (fun _ _ => 1) = 1 / 2 /\
  witness [tt] [tt] slide 0 tt (fun _ _ => 1) <= Bound.global_below_gradient (1 / 2).
Proof.
  split; [unfold witness; rewrite slide_width; unfold slide; field|].
  apply global_below_gradient with slide_grad; try lra; try exact slide_differentiable; try exact slide_infimum.
  - rewrite slide_width. lra.
  - intros p c b _ _. rewrite norm_one. unfold slide_grad. rewrite Rabs_left; lra.
Qed.

Example curvature_gain_instance : witness [tt] [tt] slide 0 tt (fun _ _ => 1) <= Bound.curvature_gain (1 / 2) 1 (1 / 2).
Proof.
  apply curvature_gain; try lra; try exact slide_infimum; rewrite ?slide_width; unfold slide, zero; lra.
Qed.

Example factorised_heads_instance : 1 <= Bound.factorised_heads 1 2 0.
Proof.
  apply (factorised_heads [tt] (fun _ => 1) (fun _ => 1) 1 1 0 0 2); simpl; try lra; try (intros; lra).
  exists tt. split; [auto|left; lra].
Qed.

Example adam_update_instance : Rabs (adam_step (9 / 10) (999 / 1000) (fun _ => 1) 2) <= Bound.adam_update 2 (9 / 10) (999 / 1000).
Proof. apply adam_update; try lra; [lia|simpl; lra]. Qed.

Example adam_threshold_instance : forall lambda, lambda >= Bound.adam_threshold (9 / 10) (999 / 1000) 1 ->
  is_zero [tt] (prox [tt] (1 / 100 * lambda) (fun _ => 0 - 1 / 100 * adam_step (9 / 10) (999 / 1000) (fun _ => 1) 2)).
Proof.
  intros lambda L. apply (adam_threshold [tt] (9 / 10) (999 / 1000) (fun _ _ => 1) (1 / 100) lambda 2); try lra; try lia.
  - intros i _. simpl. lra.
  - unfold size. simpl. exact L.
Qed.

(* One query, loss -w, majorant 1/2 + w^2/2. *)
Example quadratic_dual_instance : (0 - - (1)) / 1 <= Bound.quadratic_dual 0 1 (1 / 2) (1 / 2) 1.
Proof.
  assert (H := quadratic_dual [tt] [tt] [tt] 1 (fun _ (_ : unit) (w : unit -> R) => - w tt) (fun _ c => c tt)
    (fun _ w => w tt * w tt / 2) (fun _ => 1 / 2) (fun _ => 1) tt (fun _ _ => 1) 0 0 1 (1 / 2) (1 / 2) 1).
  simpl in H. rewrite !norm_one, Rabs_R1 in H. replace ((- (1) + 0) / 1) with (- (1)) in H by field.
  apply H; try lra.
  - intros i _. rewrite ?norm_one, ?Rabs_R1. lra.
  - intros i w _ _. assert (Q := pow2_ge_0 (w tt - 1)). nra.
Qed.
