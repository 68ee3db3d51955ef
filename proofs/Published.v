(* Published bounds, on the same inputs as ours: dispersion, scalable softmax, Hopfield retrieval (claims C5, C6).
   Mirrors bounds/published/theorems. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Vectors Attention Concentration Entropy Dial Depth.
Import ListNotations.
Open Scope R_scope.

(* One key against the n - 1 others. *)
Lemma weight_against {A} (w : A -> R) keys j c : In j keys -> (forall k, In k keys -> c * w j <= w k) ->
  w j * (1 + (size keys - 1) * c) <= sum w keys.
Proof.
  intros Hj H. apply in_split in Hj. destruct Hj as (l1 & l2 & ->).
  assert (S : size (l1 ++ j :: l2) = size l1 + size l2 + 1).
  { unfold size. rewrite app_length, plus_INR. simpl length. rewrite S_INR. ring. }
  rewrite S, sum_app. simpl sum.
  assert (H1 : size l1 * (c * w j) <= sum w l1).
  { rewrite <- sum_const. apply sum_le. intros k Hk. apply H, in_or_app. auto. }
  assert (H2 : size l2 * (c * w j) <= sum w l2).
  { rewrite <- sum_const. apply sum_le. intros k Hk. apply H, in_or_app. simpl. auto. }
  nra.
Qed.
Lemma weight_at_most {A} (w : A -> R) keys j c : In j keys -> (forall k, In k keys -> w k <= c * w j) ->
  sum w keys <= w j * (1 + (size keys - 1) * c).
Proof.
  intros Hj H. apply in_split in Hj. destruct Hj as (l1 & l2 & ->).
  assert (S : size (l1 ++ j :: l2) = size l1 + size l2 + 1).
  { unfold size. rewrite app_length, plus_INR. simpl length. rewrite S_INR. ring. }
  rewrite S, sum_app. simpl sum.
  assert (H1 : sum w l1 <= size l1 * (c * w j)).
  { rewrite <- sum_const. apply sum_le. intros k Hk. apply H, in_or_app. auto. }
  assert (H2 : sum w l2 <= size l2 * (c * w j)).
  { rewrite <- sum_const. apply sum_le. intros k Hk. apply H, in_or_app. simpl. auto. }
  nra.
Qed.

Lemma some_size {A} (keys : list A) j : In j keys -> 1 <= size keys.
Proof. intros H. destruct keys as [|k l]; [destruct H|]. unfold size. simpl length. rewrite S_INR. assert (P := pos_INR (length l)). lra. Qed.

Theorem dispersion_ceiling {A} (s : A -> R) tau keys range j : 0 < tau -> within s range keys -> In j keys ->
  softmax s tau keys j <= Bound.dispersion_ceiling (range / tau) (size keys).
Proof.
  intros T H Hj. unfold softmax, attention, Bound.dispersion_ceiling. assert (N := some_size keys j Hj).
  set (w := fun k => exp (s k / tau)). assert (W := exp_pos (s j / tau)). assert (E := exp_pos (- (range / tau))).
  assert (K := weight_against w keys j (exp (- (range / tau))) Hj).
  assert (Le : w j * (1 + (size keys - 1) * exp (- (range / tau))) <= sum w keys).
  { apply K. intros k Hk. assert (P : w j <= exp (range / tau) * w k) by apply (softmax_within s tau range keys T H j k Hj Hk).
    rewrite exp_Ropp. apply (Rmult_le_reg_l (exp (range / tau))); [apply exp_pos|].
    rewrite <- Rmult_assoc, Rinv_r by (apply Rgt_not_eq, exp_pos). lra. }
  fold (w j) in *. set (c := (size keys - 1) * exp (- (range / tau))) in *. assert (C : 0 <= c) by (unfold c; sign).
  assert (S : 0 < sum w keys) by nra.
  apply (Rmult_le_reg_r (sum w keys * (c + 1))); [apply Rmult_lt_0_compat; lra|].
  replace (w j / sum w keys * (sum w keys * (c + 1))) with (w j * (1 + c)) by (field; lra).
  replace (1 / (c + 1) * (sum w keys * (c + 1))) with (sum w keys) by (field; lra). exact Le.
Qed.

Theorem dispersion_floor {A} (s : A -> R) tau keys range j : 0 < tau -> within s range keys -> In j keys ->
  softmax s tau keys j >= Bound.dispersion_floor (range / tau) (size keys).
Proof.
  intros T H Hj. unfold softmax, attention, Bound.dispersion_floor. assert (N := some_size keys j Hj).
  set (w := fun k => exp (s k / tau)). assert (W := exp_pos (s j / tau)). assert (E := exp_pos (range / tau)).
  assert (Le : sum w keys <= w j * (1 + (size keys - 1) * exp (range / tau))).
  { apply weight_at_most; auto. intros k Hk. apply (softmax_within s tau range keys T H k j Hk Hj). }
  fold (w j) in *. set (c := (size keys - 1) * exp (range / tau)) in *. assert (C : 0 <= c) by (unfold c; sign).
  assert (S : 0 < sum w keys) by (apply total_pos; [intros; apply exp_pos|exists j; auto]).
  apply Rle_ge. apply (Rmult_le_reg_r (sum w keys * (c + 1))); [apply Rmult_lt_0_compat; lra|].
  replace (w j / sum w keys * (sum w keys * (c + 1))) with (w j * (1 + c)) by (field; lra).
  replace (1 / (c + 1) * (sum w keys * (c + 1))) with (sum w keys) by (field; lra). exact Le.
Qed.

(* Two rows whose weights differ by a factor z at most: what grows gains (z-1)/(z+1) at most. *)
Lemma two_parts a b a' b' z : 0 <= a -> 0 <= b -> 0 <= a' -> 0 <= b' -> 1 <= z -> 0 < a + b -> 0 < a' + b' ->
  a' <= z * a -> b <= z * b' -> a' / (a' + b') - a / (a + b) <= (z - 1) / (z + 1).
Proof.
  intros A B A' B' Z S S' H K.
  assert (P : 0 <= z * ((z - 1) * (a * a' + b * b') + 2 * z * a * b' - 2 * a' * b)).
  { assert (Q1 : 0 <= (z - 1) * a' * (z * a - a')) by sign. assert (Q2 : 0 <= (z - 1) * b * (z * b' - b)) by sign.
    assert (Q3 : a' * b <= (z * a) * (z * b')) by (apply Rmult_le_compat; auto).
    assert (Q4 : 0 <= (z - 1) * (a' - b) ^ 2) by (apply Rmult_le_pos; [lra|apply pow2_ge_0]). nra. }
  assert (P' : 0 <= (z - 1) * (a * a' + b * b') + 2 * z * a * b' - 2 * a' * b).
  { apply (Rmult_le_reg_l z); [lra|]. rewrite Rmult_0_r. exact P. }
  apply Rminus_le. replace (a' / (a' + b') - a / (a + b) - (z - 1) / (z + 1)) with
    (- (((z - 1) * (a * a' + b * b') + 2 * z * a * b' - 2 * a' * b) / ((a' + b') * (a + b) * (z + 1)))) by (field; lra).
  assert (0 < (a' + b') * (a + b) * (z + 1)) by (repeat apply Rmult_lt_0_compat; lra).
  apply Ropp_le_cancel. rewrite Ropp_involutive, Ropp_0. unfold Rdiv. apply Rmult_le_pos; auto.
  left. apply Rinv_0_lt_compat. auto.
Qed.

Theorem softmax_change {A} (s t : A -> R) tau keys d : 0 < tau -> (exists j, In j keys) ->
  (forall j, In j keys -> Rabs (t j - s j) <= d) ->
  sum (fun j => Rabs (softmax t tau keys j - softmax s tau keys j)) keys <= Bound.softmax_change (d / tau).
Proof.
  intros T Ne H. set (w := fun j => exp (s j / tau)). set (v := fun j => exp (t j / tau)). set (z := exp (d / tau)).
  set (p := softmax s tau keys). set (q := softmax t tau keys).
  set (S := fun j => if Rle_dec (p j) (q j) then true else false).
  assert (W : forall j, In j keys -> 0 < w j) by (intros; apply exp_pos).
  assert (V : forall j, In j keys -> 0 < v j) by (intros; apply exp_pos).
  assert (E : sum (fun j => Rabs (q j - p j)) keys = 2 * (mass S q keys - mass S p keys)).
  { rewrite (mass_split S). assert (Wp := attention_sum w keys W Ne). assert (Vp := attention_sum v keys V Ne).
    fold p in Wp. fold q in Vp. change (sum p keys = 1) in Wp. change (sum q keys = 1) in Vp.
    rewrite (mass_split S) in Wp, Vp.
    rewrite (mass_ext S _ (fun j => q j + - p j)).
    2: { intros j _ Sj. unfold S in Sj. destruct (Rle_dec (p j) (q j)); [|discriminate]. rewrite Rabs_right; lra. }
    rewrite (mass_ext (outside S) _ (fun j => p j + - q j)).
    2: { intros j _ Sj. unfold S, outside in Sj. destruct (Rle_dec (p j) (q j)); [discriminate|]. rewrite Rabs_left; lra. }
    rewrite !mass_plus, !mass_opp. lra. }
  rewrite E.
  assert (Up : forall j, In j keys -> v j <= z * w j).
  { intros j Hj. unfold v, w, z. rewrite <- exp_plus. apply exp_le.
    replace (d / tau + s j / tau) with ((d + s j) / tau) by (field; lra). apply scaled_le; auto.
    assert (Q := H j Hj). assert (Q' := Rle_abs (t j - s j)). lra. }
  assert (Down : forall j, In j keys -> w j <= z * v j).
  { intros j Hj. unfold v, w, z. rewrite <- exp_plus. apply exp_le.
    replace (d / tau + t j / tau) with ((d + t j) / tau) by (field; lra). apply scaled_le; auto.
    assert (Q := H j Hj). assert (Q' := Rle_abs (- (t j - s j))). rewrite Rabs_Ropp in Q'. lra. }
  assert (Z : 1 <= z).
  { unfold z. rewrite <- exp_0. apply exp_le. destruct Ne as [j Hj]. assert (Q := H j Hj). assert (Q' := Rabs_pos (t j - s j)).
    unfold Rdiv. apply Rmult_le_pos; [lra|]. left. apply Rinv_0_lt_compat, T. }
  assert (Wt := total_pos w keys W Ne). assert (Vt := total_pos v keys V Ne).
  assert (B : mass S q keys - mass S p keys <= (z - 1) / (z + 1)).
  { unfold p, q, softmax. fold w v. rewrite !attention_mass. rewrite (mass_split S w) in *. rewrite (mass_split S v) in *.
    apply two_parts; auto; try (apply mass_nonneg; intros; left; auto).
    - rewrite <- mass_scal. apply mass_le. auto.
    - rewrite <- mass_scal. apply mass_le. auto. }
  apply Rle_trans with (2 * ((z - 1) / (z + 1))); [lra|].
  unfold Bound.softmax_change. rewrite exp_Ropp. fold z. right. field. lra.
Qed.

(* Scalable softmax: logits times scale ln n. *)
Theorem scalable_softmax_floor {A} (s : A -> R) keys block anchor delta scale : row keys block anchor -> 0 <= scale ->
  margin s delta keys block anchor ->
  fidelity (softmax (fun j => scale * ln (size keys) * s j) 1 keys) block keys
    >= Bound.scalable_softmax_floor (size keys) (count block keys) (count anchor keys) scale delta.
Proof.
  intros V Sc H. destruct (row_counts _ _ _ V) as (Hr & M & N & _).
  assert (N1 : 1 <= size keys) by (destruct (row_nonempty _ _ _ V) as [j Hj]; apply some_size with j, Hj).
  assert (L : 0 <= ln (size keys)) by (rewrite <- ln_1; apply ln_le; lra).
  assert (Mg : margin (fun j => scale * ln (size keys) * s j) (scale * ln (size keys) * delta) keys block anchor).
  { intros a o Ha Ho Aa Bo. specialize (H a o Ha Ho Aa Bo). assert (0 <= scale * ln (size keys)) by sign. nra. }
  assert (F := fidelity_floor _ 1 keys block anchor V Rlt_0_1 _ Mg). unfold Bound.fidelity_floor in F.
  unfold Bound.scalable_softmax_floor, Rpower.
  replace (- (delta * scale) * ln (size keys)) with (- (scale * ln (size keys) * delta / 1)) by field.
  rewrite (Rmult_comm (exp _)). exact F.
Qed.

(* Retrieval in a modern Hopfield network: one step from a state within d of a pattern separated by Delta. *)
Section Retrieval.
Context {A C : Type}.
Variables (I : list C) (patterns : list A) (x : A -> C -> R) (i : A) (state : C -> R) (beta Delta M distance : R).
Hypothesis eq_dec : forall j k : A, {j = k} + {j <> k}.
Hypothesis distinct : NoDup patterns.
Hypothesis here : In i patterns.
Hypothesis others : exists j, In j patterns /\ j <> i.
Hypothesis beta_pos : 0 < beta.
Hypothesis separated : forall j, In j patterns -> j <> i -> dot I (x i) (x i) - dot I (x i) (x j) >= Delta.
Hypothesis ball : forall j, In j patterns -> norm I (x j) <= M.
Hypothesis near : norm I (fun c => state c - x i c) <= distance.

Definition similarity (j : A) : R := beta * dot I (x j) state.
Definition retrieved (c : C) : R := sum (fun j => softmax similarity 1 patterns j * x j c) patterns.
Definition mine (j : A) : bool := if eq_dec j i then true else false.

Lemma mine_row : row patterns mine mine.
Proof.
  split; auto.
  - exists i. split; auto. unfold mine. destruct (eq_dec i i); congruence.
  - destruct others as [j [Hj Nj]]. exists j. split; auto. unfold mine. destruct (eq_dec j i); congruence.
Qed.
Lemma mine_alone f : mass mine f patterns = f i.
Proof.
  unfold mass. rewrite (sum_only eq_dec patterns i); auto.
  - unfold mine. destruct (eq_dec i i); congruence.
  - intros j H. unfold mine. destruct (eq_dec j i); congruence.
Qed.
Lemma apart j k : In j patterns -> In k patterns -> norm I (fun c => x j c - x k c) <= 2 * M.
Proof.
  intros Hj Hk. apply Rle_trans with (1 := triangle_minus I (x j) (x k)).
  assert (A1 := ball j Hj). assert (A2 := ball k Hk). lra.
Qed.
Lemma similarity_margin : margin similarity (beta * (Delta - 2 * M * distance)) patterns mine mine.
Proof.
  intros a o Ha Ho Aa Bo. unfold mine in *. destruct (eq_dec a i) as [->|]; [|discriminate].
  destruct (eq_dec o i) as [|Ne]; [discriminate|]. unfold similarity.
  assert (S := separated o Ho Ne). rewrite (dot_comm I (x i) (x o)) in S.
  assert (E : dot I (x i) state - dot I (x o) state =
    (dot I (x i) (x i) - dot I (x o) (x i)) + dot I (fun c => x i c - x o c) (fun c => state c - x i c)).
  { rewrite dot_minus_r, !dot_minus_l. ring. }
  assert (Cs := cauchy_schwarz_abs I (fun c => x i c - x o c) (fun c => state c - x i c)).
  assert (A1 := Rle_abs (- dot I (fun c => x i c - x o c) (fun c => state c - x i c))). rewrite Rabs_Ropp in A1.
  assert (A2 := apart i o here Ho). assert (N1 := norm_nonneg I (fun c => x i c - x o c)).
  assert (N2 := norm_nonneg I (fun c => state c - x i c)).
  assert (norm I (fun c => x i c - x o c) * norm I (fun c => state c - x i c) <= 2 * M * distance) by (apply Rmult_le_compat; auto).
  assert (beta * (Delta - 2 * M * distance) <= beta * (dot I (x i) state - dot I (x o) state)) by (apply Rmult_le_compat_l; lra).
  lra.
Qed.

Theorem retrieval_error :
  norm I (fun c => retrieved c - x i c) <= Bound.retrieval_error (size patterns) beta M Delta distance.
Proof.
  set (w := fun j => exp (similarity j / 1)). assert (W : forall j, In j patterns -> 0 < w j) by (intros; apply exp_pos).
  assert (L := leakage_ceiling similarity 1 patterns mine mine mine_row Rlt_0_1 _ similarity_margin).
  assert (E := output_error I w x patterns mine W (2 * M) (inside_pos w patterns mine mine mine_row W)
    (out_pos w patterns mine mine mine_row W) apart).
  assert (Pm : forall c, part_mean x patterns w mine c = x i c).
  { intros c. unfold part_mean. rewrite !mine_alone. field. apply Rgt_not_eq, exp_pos. }
  rewrite (norm_ext I _ (fun c => output x patterns w c - part_mean x patterns w mine c)).
  2: { intros c _. rewrite Pm. auto. }
  apply Rle_trans with (1 := E). unfold Bound.output_error, Bound.retrieval_error.
  change (softmax similarity 1 patterns) with (attention w patterns) in L. unfold Bound.leakage_ceiling in L.
  assert (C1 : count mine patterns = 1) by (rewrite count_mass, mine_alone; auto). rewrite C1 in L.
  replace (beta * (Delta - 2 * M * distance) / 1) with (beta * (Delta - 2 * M * distance)) in L by field.
  set (u := (size patterns - 1) * exp (- (beta * (Delta - 2 * M * distance)))) in *.
  assert (M0 : 0 <= M) by (apply Rle_trans with (2 := ball i here); apply norm_nonneg).
  replace (2 * M * (size patterns - 1) * exp (- (beta * (Delta - 2 * M * distance)))) with (2 * M * u) by (unfold u; ring).
  replace (2 * M * u / (u + 1)) with (2 * M * (u / (1 + u))) by (unfold Rdiv; rewrite (Rplus_comm 1 u); ring).
  apply Rmult_le_compat_l; lra.
Qed.

Theorem hopfield_error :
  norm I (fun c => retrieved c - x i c) <= Bound.hopfield_error (size patterns) beta M Delta distance.
Proof.
  apply Rle_trans with (1 := retrieval_error). unfold Bound.retrieval_error, Bound.hopfield_error.
  assert (N := some_size patterns i here). assert (E := exp_pos (- (beta * (Delta - 2 * M * distance)))).
  assert (M0 : 0 <= M) by (apply Rle_trans with (2 := ball i here); apply norm_nonneg).
  set (u := (size patterns - 1) * exp (- (beta * (Delta - 2 * M * distance)))).
  assert (U : 0 <= u) by (unfold u; sign).
  replace (2 * M * (size patterns - 1) * exp (- (beta * (Delta - 2 * M * distance)))) with (2 * M * u) by (unfold u; ring).
  apply (Rmult_le_reg_r (u + 1)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra.
  assert (0 <= 2 * M * u) by sign. nra.
Qed.
End Retrieval.

Example dispersion_ceiling_instance : softmax two_high (1 / 2) five 0%nat <= Bound.dispersion_ceiling 4 5.
Proof.
  assert (H := dispersion_ceiling two_high (1 / 2) five 2 0%nat ltac:(lra) five_within ltac:(simpl; auto)). counted H.
Qed.
Example dispersion_floor_instance : softmax two_high (1 / 2) five 4%nat >= Bound.dispersion_floor 4 5.
Proof.
  assert (H := dispersion_floor two_high (1 / 2) five 2 4%nat ltac:(lra) five_within ltac:(simpl; auto 10)). counted H.
Qed.
Example softmax_change_instance :
  sum (fun j => Rabs (softmax (fun _ => 1) (1 / 2) five j - softmax two_high (1 / 2) five j)) five <= Bound.softmax_change 2.
Proof.
  replace (Bound.softmax_change 2) with (Bound.softmax_change (1 / (1 / 2))) by (f_equal; field).
  apply softmax_change; [lra|exists 0%nat; simpl; auto|].
  intros j _. unfold two_high. destruct (first_two j); [rewrite Rabs_left|rewrite Rabs_right]; lra.
Qed.
Example scalable_softmax_floor_instance :
  fidelity (softmax (fun j => 1 / 2 * ln 5 * two_high j) 1 five) first_three five >= Bound.scalable_softmax_floor 5 3 2 (1 / 2) 2.
Proof.
  assert (H := scalable_softmax_floor two_high five first_three first_two 2 (1 / 2) five_row ltac:(lra) five_margin). counted H.
Qed.

(* Two opposite patterns on a line, a state half-way to the origin. *)
Definition poles (k : bool) (_ : unit) : R := if k then 1 else -1.
Lemma pole_norm k : norm [tt] (poles k) <= 1.
Proof. rewrite norm_one. unfold poles. destruct k; [rewrite Rabs_right|rewrite Rabs_left]; lra. Qed.
Lemma poles_apart : forall j, In j [true; false] -> j <> true -> dot [tt] (poles true) (poles true) - dot [tt] (poles true) (poles j) >= 2.
Proof. intros [|] _ Nj; [congruence|]. unfold dot, poles. simpl. lra. Qed.
Lemma pole_near : norm [tt] (fun c => 1 / 2 - poles true c) <= 1 / 2.
Proof. rewrite norm_one. unfold poles. rewrite Rabs_left; lra. Qed.

(* An error at the two poles, seen from half way between them: every hypothesis holds. *)
Ltac of_poles error :=
  let H := fresh in assert (H := error);
  unfold size in H; simpl in H; replace (1 + 1) with 2 in H by ring; apply H; auto using poles_apart, pole_near; try lra;
  [repeat constructor; simpl; intuition discriminate|exists false; split; [auto|discriminate]|intros k _; apply pole_norm].

Example retrieval_error_instance :
  norm [tt] (fun c => retrieved [tt] [true; false] poles (fun _ => 1 / 2) 3 c - poles true c) <= Bound.retrieval_error 2 3 1 2 (1 / 2).
Proof.
  of_poles (retrieval_error [tt] [true; false] poles true (fun _ => 1 / 2) 3 2 1 (1 / 2) Bool.bool_dec).
Qed.
Example hopfield_error_instance :
  norm [tt] (fun c => retrieved [tt] [true; false] poles (fun _ => 1 / 2) 3 c - poles true c) <= Bound.hopfield_error 2 3 1 2 (1 / 2).
Proof.
  of_poles (hopfield_error [tt] [true; false] poles true (fun _ => 1 / 2) 3 2 1 (1 / 2) Bool.bool_dec).
Qed.
