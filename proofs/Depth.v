(* What dialling costs at the output, through depth, and how to share it out (claims C6, C13); what it isolates.
   Mirrors bounds/depth/theorems. *)

Require Import Reals Lra Psatz List Bool Lia.
From Localist Require Import ClosedForms Sums Vectors Attention Concentration Entropy Dial.
Import ListNotations.
Open Scope R_scope.

Section Output.
Context {A C : Type}.
Variables (I : list C) (w : A -> R) (value : A -> C -> R) (keys : list A) (block : A -> bool).
Hypothesis positive : forall j, In j keys -> 0 < w j.

(* The output, and the mean of the values over a part. *)
Definition output (w : A -> R) (c : C) : R := sum (fun j => attention w keys j * value j c) keys.
Definition part_mean (w : A -> R) S (c : C) : R := mass S (fun j => w j * value j c) keys / mass S w keys.

Lemma output_mixture v : (forall j, In j keys -> 0 < v j) -> 0 < mass block v keys -> 0 < mass (outside block) v keys ->
  forall c, output v c = (1 - leakage (attention v keys) block keys) * part_mean v block c
                         + leakage (attention v keys) block keys * part_mean v (outside block) c.
Proof.
  intros P Hi Ho c. rewrite odds_leakage. unfold output, part_mean, attention.
  rewrite (sum_ext _ (fun j => v j * value j c / sum v keys)) by (intros; unfold Rdiv; ring).
  rewrite sum_div, (mass_split block (fun j => v j * value j c)), (mass_split block v). field. lra.
Qed.

(* The two means are V apart at most, if no two values are further apart. *)
Lemma means_apart v V : (forall j, In j keys -> 0 < v j) -> 0 < mass block v keys -> 0 < mass (outside block) v keys ->
  (forall i j, In i keys -> In j keys -> norm I (fun c => value i c - value j c) <= V) ->
  norm I (fun c => part_mean v (outside block) c - part_mean v block c) <= V.
Proof.
  intros P Hi Ho H. set (mi := mass block v keys) in *. set (mo := mass (outside block) v keys) in *.
  set (p := fun S (m : R) j => if (S j : bool) then v j / m else 0).
  assert (Pn : forall S m j, 0 < m -> In j keys -> 0 <= p S m j).
  { intros S m j Hm Hj. unfold p. destruct (S j); [|lra]. specialize (P j Hj). sign. }
  assert (Ps : forall S, 0 < mass S v keys -> sum (p S (mass S v keys)) keys = 1).
  { intros S HS. unfold p. rewrite (sum_ext _ (fun j => (if S j then v j else 0) / mass S v keys)).
    - rewrite sum_div. fold (mass S v keys). field. lra.
    - intros j _. destruct (S j); unfold Rdiv; ring. }
  assert (Psi : sum (p block mi) keys = 1) by apply (Ps block Hi).
  assert (Pso : sum (p (outside block) mo) keys = 1) by apply (Ps (outside block) Ho).
  apply Rle_trans with
    (norm I (fun c => sum (fun i => sum (fun o => p block mi i * p (outside block) mo o * (value o c - value i c)) keys) keys)).
  - right. apply norm_ext. intros c _. unfold part_mean. fold mi mo.
    assert (E : forall S, sum (fun j => p S (mass S v keys) j * value j c) keys
      = mass S (fun j => v j * value j c) keys / mass S v keys).
    { intros S. unfold p, mass at 2. rewrite <- sum_div. apply sum_ext. intros j _. destruct (S j); unfold Rdiv; ring. }
    assert (Ei := E block). assert (Eo := E (outside block)). fold mi in Ei. fold mo in Eo. rewrite <- Ei, <- Eo.
    rewrite (sum_ext (fun i => sum _ keys) (fun i =>
      p block mi i * sum (fun o => p (outside block) mo o * value o c) keys - p block mi i * value i c)).
    + rewrite sum_minus, sum_scal_r, Psi. ring.
    + intros i _. rewrite (sum_ext _ (fun o => p block mi i * (p (outside block) mo o * value o c)
        - p block mi i * value i c * p (outside block) mo o)) by (intros; ring).
      rewrite sum_minus, !sum_scal, Pso. ring.
  - apply Rle_trans with (1 := norm_sum I _ keys).
    apply Rle_trans with (sum (fun i => sum (fun o => p block mi i * p (outside block) mo o * V) keys) keys).
    + apply sum_le. intros i Hi'. apply Rle_trans with (1 := norm_sum I _ keys). apply sum_le. intros o Ho'.
      rewrite norm_scal, Rabs_right by (apply Rle_ge, Rmult_le_pos; apply Pn; auto).
      apply Rmult_le_compat_l; [apply Rmult_le_pos; apply Pn; auto|auto].
    + rewrite (sum_ext _ (fun i => V * p block mi i)).
      * rewrite sum_scal, Psi. lra.
      * intros i _. rewrite (sum_ext _ (fun o => p block mi i * V * p (outside block) mo o)) by (intros; ring).
        rewrite sum_scal, Pso. ring.
Qed.

(* The output and that of the block alone, renormalised. *)
Theorem output_error V : 0 < mass block w keys -> 0 < mass (outside block) w keys ->
  (forall i j, In i keys -> In j keys -> norm I (fun c => value i c - value j c) <= V) ->
  norm I (fun c => output w c - part_mean w block c)
    <= Bound.output_error (leakage (attention w keys) block keys) V.
Proof.
  intros Hi Ho H. assert (M := means_apart w V positive Hi Ho H).
  assert (E : 0 <= leakage (attention w keys) block keys).
  { apply mass_nonneg. intros j Hj _. left. apply attention_pos; auto. exists j; auto. }
  rewrite (norm_ext I _ (fun c => leakage (attention w keys) block keys
    * (part_mean w (outside block) c - part_mean w block c))).
  - rewrite norm_scal, Rabs_right by lra. unfold Bound.output_error. rewrite (Rmult_comm V).
    apply Rmult_le_compat_l; auto.
  - intros c _. rewrite output_mixture by auto. ring.
Qed.
End Output.

(* The dial moves the output along one segment. *)
Theorem dial_segment {A C} (I : list C) (s : A -> R) (value : A -> C -> R) (keys : list A) block anchor tau dial :
  row keys block anchor -> 0 < tau -> 0 <= dial < 1 ->
  let w := fun j => exp (s j / tau) in
  let v := fun j => exp (dialled s block tau (- ln (1 - dial)) j / tau) in
  norm I (fun c => output value keys v c - output value keys w c) =
  Bound.dial_segment (leakage (attention w keys) block keys) dial
    (norm I (fun c => part_mean value keys w block c - part_mean value keys w (outside block) c)).
Proof.
  intros V T D w v. set (kappa := - ln (1 - dial)) in *.
  assert (W : forall j, In j keys -> 0 < w j) by (intros; apply exp_pos).
  assert (Vp : forall j, In j keys -> 0 < v j) by (intros; apply exp_pos).
  assert (Hi := inside_pos w keys block anchor V W). assert (Ho := out_pos w keys block anchor V W).
  assert (Ek : exp (- kappa) = 1 - dial) by (unfold kappa; rewrite Ropp_involutive, exp_ln by lra; auto).
  assert (Mi : mass block v keys = mass block w keys) by apply dialled_mass_inside.
  assert (Mo : mass (outside block) v keys = (1 - dial) * mass (outside block) w keys).
  { rewrite <- Ek. apply dialled_mass_outside, T. }
  assert (Pi : forall c, part_mean value keys v block c = part_mean value keys w block c).
  { intros c. unfold part_mean. rewrite Mi. f_equal. apply mass_ext. intros j _ B. f_equal. apply dialled_inside, B. }
  assert (Po : forall c, part_mean value keys v (outside block) c = part_mean value keys w (outside block) c).
  { intros c. unfold part_mean. rewrite Mo.
    rewrite (mass_ext (outside block) _ (fun j => (1 - dial) * (w j * value j c))).
    - rewrite mass_scal. field. lra.
    - intros j _ B. assert (Bj : block j = false) by (unfold outside in B; destruct (block j); auto; discriminate).
      unfold v. rewrite (dialled_outside s block tau T kappa j Bj), Ek. unfold w. ring. }
  assert (Some : exists j, In j keys /\ block j = true).
  { destruct V as [Is [a [Ha Aa]] _]. exists a. auto. }
  assert (Ol : leakage (attention v keys) block keys = Bound.odds_law (leakage (attention w keys) block keys) kappa)
    by (apply odds_law; auto).
  assert (E := leakage_below_one s keys block tau Some).
  change (softmax s tau keys) with (attention w keys) in E. set (e := leakage (attention w keys) block keys) in *.
  assert (P1 : 0 < 1 - dial * e) by nra.
  assert (Hd : leakage (attention v keys) block keys = e * (1 - dial) / (1 - dial * e)).
  { rewrite Ol. unfold Bound.odds_law. rewrite Ek. f_equal. ring. }
  assert (G : e - e * (1 - dial) / (1 - dial * e) = dial * (e * (1 - e)) / (1 - dial * e)) by (field; lra).
  assert (Gn : 0 <= e - e * (1 - dial) / (1 - dial * e)).
  { rewrite G. assert (0 <= e * (1 - e)) by nra. sign. }
  rewrite (norm_ext I _ (fun c => (e - e * (1 - dial) / (1 - dial * e))
    * (part_mean value keys w block c - part_mean value keys w (outside block) c))).
  - rewrite norm_scal, Rabs_right by lra. unfold Bound.dial_segment. ring.
  - intros c _. rewrite (output_mixture value keys block v Vp), (output_mixture value keys block w W); auto;
      [|rewrite Mi; auto|rewrite Mo; nra]. rewrite Pi, Po, Hd. fold e. ring.
Qed.

(* Drift through residual layers: x <- x + f_l(x), the dialled layers g_l. *)
Section Drift.
Context {C : Type}.
Variables (I : list C) (f g : nat -> (C -> R) -> C -> R) (lip e : nat -> R) (start : C -> R).

Fixpoint states (h : nat -> (C -> R) -> C -> R) (l : nat) : C -> R :=
  match l with O => start | S l => fun c => states h l c + h l (states h l) c end.

(* The product of 1 + Lip_k over the layers from l to l + d - 1, and the sum over layers of what their errors become. *)
Fixpoint growth (lip : nat -> R) (l d : nat) : R :=
  match d with O => 1 | S d => growth lip l d * Bound.depth_sum (lip (l + d)%nat) end.
Definition drift_bound (lip e : nat -> R) (L : nat) : R :=
  sum (fun l => e l * growth lip (S l) (L - S l)) (seq 0 L).

Lemma drift_bound_step (lip' e' : nat -> R) L :
  drift_bound lip' e' (S L) = Bound.depth_sum (lip' L) * drift_bound lip' e' L + e' L.
Proof.
  unfold drift_bound. rewrite seq_S, sum_app. simpl sum. rewrite Nat.sub_diag. simpl. rewrite Rplus_0_r, Rmult_1_r.
  f_equal. rewrite <- sum_scal. apply sum_ext. intros l Hl. apply in_seq in Hl.
  replace (L - l)%nat with (S (L - S l)) by lia.
  change (growth lip' (S l) (S (L - S l)))
    with (growth lip' (S l) (L - S l) * Bound.depth_sum (lip' (S l + (L - S l))%nat)).
  replace (S l + (L - S l))%nat with L by lia. ring.
Qed.

Theorem depth_sum L : (forall l, 0 <= lip l) ->
  (forall l, (l < L)%nat -> norm I (fun c => f l (states g l) c - f l (states f l) c)
                            <= lip l * norm I (fun c => states g l c - states f l c)) ->
  (forall l, (l < L)%nat -> norm I (fun c => g l (states g l) c - f l (states g l) c) <= e l) ->
  norm I (fun c => states g L c - states f L c) <= drift_bound lip e L.
Proof.
  intros P Lip Err. induction L as [|L IH].
  - unfold drift_bound. simpl. rewrite (norm_ext I _ (fun _ => 0)) by (intros; ring). rewrite norm_null. lra.
  - rewrite drift_bound_step. specialize (IH ltac:(auto) ltac:(auto)). specialize (Lip L ltac:(lia)). specialize (Err L ltac:(lia)).
    simpl. set (d := norm I (fun c => states g L c - states f L c)) in *.
    rewrite (norm_ext I _ (fun c => ((states g L c - states f L c) + (f L (states g L) c - f L (states f L) c))
      + (g L (states g L) c - f L (states g L) c))) by (intros; ring).
    apply Rle_trans with (1 := triangle I _ _).
    assert (T := triangle I (fun c => states g L c - states f L c) (fun c => f L (states g L) c - f L (states f L) c)).
    cbv beta in T. fold d in T. unfold Bound.depth_sum. specialize (P L).
    apply Rle_trans with (d + lip L * d + e L); [lra|]. assert ((lip L + 1) * d <= (lip L + 1) * drift_bound lip e L); [|lra].
    apply Rmult_le_compat_l; lra.
Qed.
End Drift.

(* Attained in one dimension, by layers that stretch and errors that point one way. *)
Theorem depth_sum_attained (lip e : nat -> R) L : (forall l, 0 <= lip l) -> (forall l, 0 <= e l) ->
  let f := fun l (x : unit -> R) c => lip l * x c in let g := fun l (x : unit -> R) c => lip l * x c + e l in
  norm [tt] (fun c => states (fun _ => 0) g L c - states (fun _ => 0) f L c) = drift_bound lip e L.
Proof.
  intros P Q f g. assert (D : forall L, states (fun _ => 0) g L tt - states (fun _ => 0) f L tt = drift_bound lip e L).
  { clear L. induction L as [|L IH]; [unfold drift_bound; simpl; ring|].
    rewrite drift_bound_step, <- IH. simpl. unfold f at 2, g at 2, Bound.depth_sum. ring. }
  assert (N : 0 <= drift_bound lip e L).
  { unfold drift_bound. apply sum_nonneg. intros l _. apply Rmult_le_pos; auto.
    generalize (L - S l)%nat. intros d. induction d; simpl; [lra|]. unfold Bound.depth_sum. specialize (P (S (l + d))).
    nra. }
  unfold norm, dot. simpl. rewrite D, Rplus_0_r. apply sqrt_square, N.
Qed.

(* The most locality under a drift budget is a fractional knapsack. [Bound.schedule_optimum] at budget 0 is one layer's
   term of the Lagrangian; multiplier times budget comes once. *)
Section Knapsack.
Context {A : Type}.
Variables (layers : list A) (cost available : A -> R) (budget : R).

Definition feasible (z : A -> R) : Prop :=
  (forall l, In l layers -> 0 <= z l <= available l) /\ sum (fun l => cost l * z l) layers <= budget.
Definition lagrangian (mu : R) : R :=
  budget * mu + sum (fun l => Bound.schedule_optimum 0 (cost l) (available l) mu) layers.

Theorem schedule_optimum z mu : feasible z -> 0 <= mu -> sum z layers <= lagrangian mu.
Proof.
  intros [Z B] M. unfold lagrangian, Bound.schedule_optimum.
  apply Rle_trans with (sum (fun l => mu * (cost l * z l) + available l * Rmax 0 (1 - cost l * mu)) layers).
  - apply sum_le. intros l Hl. specialize (Z l Hl). destruct (Rle_lt_dec 0 (1 - cost l * mu)) as [H|H].
    + rewrite Rmax_right by auto. nra.
    + rewrite Rmax_left by lra. nra.
  - rewrite sum_plus, sum_scal. rewrite (sum_ext (fun l => 0 * mu + _) (fun l => available l * Rmax 0 (1 - cost l * mu)))
      by (intros; ring). nra.
Qed.

(* Layers cheaper than some level full, dearer ones empty, the budget spent: both sides agree, so that this is best. *)
Definition by_cost (level : R) (z : A -> R) : Prop :=
  (forall l, In l layers -> 0 <= z l <= available l) /\ sum (fun l => cost l * z l) layers = budget /\
  (forall l, In l layers -> cost l < level -> z l = available l) /\
  (forall l, In l layers -> level < cost l -> z l = 0).

Theorem schedule_optimum_attained level z : 0 < level -> by_cost level z -> sum z layers = lagrangian (/ level).
Proof.
  intros L (Z & B & Full & Empty). unfold lagrangian, Bound.schedule_optimum. rewrite <- B.
  rewrite (sum_ext z (fun l => cost l * z l * / level + available l * Rmax 0 (1 - cost l * / level))).
  - rewrite sum_plus, sum_scal_r. f_equal. apply sum_ext. intros. ring.
  - intros l Hl. assert (IL : 0 < / level) by (apply Rinv_0_lt_compat, L).
    destruct (Rtotal_order (cost l) level) as [H|[H|H]].
    + rewrite (Full l Hl H), Rmax_right; [ring|]. apply (Rmult_lt_compat_r (/ level)) in H; auto.
      rewrite Rinv_r in H by lra. lra.
    + rewrite H, Rinv_r, Rmax_left by lra. field. lra.
    + rewrite (Empty l Hl H), Rmax_left; [ring|]. apply (Rmult_lt_compat_r (/ level)) in H; auto.
      rewrite Rinv_r in H by lra. lra.
Qed.

Theorem schedule_optimum_by_cost level z z' : 0 < level -> by_cost level z -> feasible z' -> sum z' layers <= sum z layers.
Proof.
  intros L B F. rewrite (schedule_optimum_attained level z L B). apply schedule_optimum; auto. left. sign.
Qed.
End Knapsack.

(* Costs A_l = V_l prod_(k>l) (1 + Lip_k) fall with depth if V_(l+1) <= (1 + Lip_(l+1)) V_l, and then filling the last
   layers first is optimal. *)
Definition layer_cost (V lip : nat -> R) (L l : nat) : R := V l * growth lip (S l) (L - S l).

Lemma growth_front lip l d : growth lip l (S d) = Bound.depth_sum (lip l) * growth lip (S l) d.
Proof.
  induction d as [|d IH]; [simpl; rewrite Nat.add_0_r; ring|].
  change (growth lip l (S (S d))) with (growth lip l (S d) * Bound.depth_sum (lip (l + S d)%nat)).
  rewrite IH. simpl. rewrite Nat.add_succ_r. ring.
Qed.
Lemma growth_pos lip l d : (forall k, 0 <= lip k) -> 0 < growth lip l d.
Proof. intros P. induction d; simpl; [lra|]. unfold Bound.depth_sum. specialize (P (l + d)%nat). nra. Qed.

Lemma layer_cost_falls V lip L l : (forall k, 0 <= lip k) -> (S l < L)%nat ->
  V (S l) <= (1 + lip (S l)) * V l -> layer_cost V lip L (S l) <= layer_cost V lip L l.
Proof.
  intros P H C. unfold layer_cost. replace (L - S l)%nat with (S (L - S (S l))) by lia. rewrite growth_front.
  assert (G := growth_pos lip (S (S l)) (L - S (S l)) P). unfold Bound.depth_sum.
  rewrite <- Rmult_assoc. apply Rmult_le_compat_r; lra.
Qed.

Theorem late_layers V lip L budget u z last : (forall k, 0 <= lip k) -> (forall k, 0 < V k) ->
  (forall l, (S l < L)%nat -> V (S l) <= (1 + lip (S l)) * V l) ->
  (forall l, (l < L)%nat -> 0 <= z l <= u l) -> sum (fun l => layer_cost V lip L l * z l) (seq 0 L) = budget ->
  (last < L)%nat -> (forall l, (last < l < L)%nat -> z l = u l) -> (forall l, (l < last)%nat -> z l = 0) ->
  let mu := / layer_cost V lip L last in
  sum z (seq 0 L) = budget * mu + sum (fun l => Bound.late_layers 0 (layer_cost V lip L l) (u l) mu) (seq 0 L) /\
  forall z', feasible (seq 0 L) (layer_cost V lip L) u budget z' -> sum z' (seq 0 L) <= sum z (seq 0 L).
Proof.
  intros P Vp C Z B Hl Full Empty mu.
  assert (Cp : forall l, 0 < layer_cost V lip L l).
  { intros l. unfold layer_cost. apply Rmult_lt_0_compat; [auto|apply growth_pos, P]. }
  assert (Mono : forall d l, (l + d < L)%nat -> layer_cost V lip L (l + d) <= layer_cost V lip L l).
  { induction d as [|d IH]; intros l H; [rewrite Nat.add_0_r; lra|].
    rewrite Nat.add_succ_r. apply Rle_trans with (layer_cost V lip L (l + d)); [|apply IH; lia].
    apply layer_cost_falls; auto; [lia|]. apply C. lia. }
  assert (By : by_cost (seq 0 L) (layer_cost V lip L) u budget (layer_cost V lip L last) z).
  2: { split; [apply (schedule_optimum_attained _ _ _ _ _ z (Cp last) By)|].
       intros z' F. apply (schedule_optimum_by_cost _ _ _ _ _ z z' (Cp last) By F). }
  split; [intros l Hl'; apply in_seq in Hl'; apply Z; lia|]. split; [auto|]. split.
  - intros l Hl' H. apply in_seq in Hl'. destruct (Nat.le_gt_cases l last) as [K|K].
    + exfalso. assert (M := Mono (last - l)%nat l). replace (l + (last - l))%nat with last in M by lia.
      specialize (M ltac:(lia)). lra.
    + apply Full. lia.
  - intros l Hl' H. apply in_seq in Hl'. destruct (Nat.le_gt_cases last l) as [K|K].
    + exfalso. assert (M := Mono (l - last)%nat last). replace (last + (l - last))%nat with l in M by lia.
      specialize (M ltac:(lia)). lra.
    + apply Empty. lia.
Qed.

(* Non-interference. Dial 1: a masked key has weight exactly 0. Whatever tokens of other blocks hold, layer by layer a
   token's state is a function of its own block's inputs. *)
Section Isolation.
Context {T X Y : Type}.
Variables (tokens : list T) (same : T -> T -> bool).
Variables (weight : nat -> X -> X -> R) (value : nat -> X -> Y -> R) (update : nat -> X -> (Y -> R) -> X).

Definition masked (l : nat) (state : T -> X) (i : T) (y : Y) : R :=
  sum (fun j => attention (fun k => if same i k then weight l (state i) (state k) else 0) tokens j * value l (state j) y)
    tokens.
Fixpoint through (input : T -> X) (l : nat) : T -> X :=
  match l with O => input | S l => fun i => update l (through input l i) (masked l (through input l) i) end.

Hypothesis extensional : forall l x h h', (forall y, h y = h' y) -> update l x h = update l x h'.
Hypothesis own : forall i, same i i = true.
Hypothesis blocks : forall i j k, same i j = true -> same j k = same i k.

Theorem non_interference (input input' : T -> X) i : (forall j, same i j = true -> input j = input' j) ->
  forall l, through input l i = through input' l i.
Proof.
  intros H l.
  assert (G : forall j, same i j = true -> through input l j = through input' l j); [|apply G, own].
  induction l as [|l IH]; intros j Hj; simpl; auto.
  rewrite <- (IH j Hj). apply extensional. intros y. unfold masked.
  assert (E : forall k, same j k = true -> through input l k = through input' l k).
  { intros k Hk. apply IH. rewrite <- (blocks i j k Hj). auto. }
  rewrite <- (IH j Hj). unfold attention.
  set (w := fun k => if same j k then weight l (through input l j) (through input l k) else 0).
  rewrite (sum_ext (fun k => if same j k then weight l (through input l j) (through input' l k) else 0) w).
  - apply sum_ext. intros k _. unfold w at 1. destruct (same j k) eqn:Ek; [rewrite (E k Ek); auto|unfold Rdiv; ring].
  - intros k _. unfold w. destruct (same j k) eqn:Ek; auto. rewrite (E k Ek). auto.
Qed.
End Isolation.

(* Instances. *)
Example output_error_instance :
  let value := fun (j : nat) (c : unit) => INR j in
  norm [tt] (fun c => output value two (fun _ => 1) c - part_mean value two (fun _ => 1) first c)
    <= Bound.output_error (leakage (attention (fun _ => 1) two) first two) 1.
Proof.
  intros value. apply output_error; [intros; lra| | |].
  - unfold mass, two, first. simpl. lra.
  - unfold mass, two, first, outside. simpl. lra.
  - intros i j Hi Hj. apply norm_le; [lra|]. unfold dot, value. simpl in *.
    destruct Hi as [<-|[<-|[]]], Hj as [<-|[<-|[]]]; simpl; lra.
Qed.

Example dial_segment_instance :
  let value := fun (j : nat) (c : unit) => INR j in
  let w := fun j => exp (two_high j / (1 / 2)) in
  let v := fun j => exp (dialled two_high first_three (1 / 2) (- ln (1 - 1 / 3)) j / (1 / 2)) in
  norm [tt] (fun c => output value five v c - output value five w c) =
  Bound.dial_segment (leakage (attention w five) first_three five) (1 / 3)
    (norm [tt] (fun c => part_mean value five w first_three c - part_mean value five w (outside first_three) c)).
Proof. intros value w v. apply (dial_segment [tt] two_high value five first_three first_two); [exact five_row|lra|lra]. Qed.

Example depth_sum_instance : drift_bound (fun _ => 1) (fun l => INR l) 3 = 4 /\
  let f := fun (l : nat) (x : unit -> R) (c : unit) => 1 * x c in
  let g := fun l (x : unit -> R) (c : unit) => 1 * x c + INR l in
  norm [tt] (fun c => states (fun _ => 0) g 3 c - states (fun _ => 0) f 3 c) <= drift_bound (fun _ => 1) (fun l => INR l) 3.
Proof.
  split.
  - unfold drift_bound, Bound.depth_sum. simpl. unfold Bound.depth_sum. ring.
  - right. apply (depth_sum_attained (fun _ => 1) (fun l => INR l) 3); intros; [lra|apply pos_INR].
Qed.

Example schedule_optimum_instance :
  let z := fun l : nat => match l with O => 1 | 1%nat => 1 / 2 | _ => 0 end in
  by_cost [0; 1; 2]%nat (fun l => INR l + 1) (fun _ => 1) 2 2 z /\ sum z [0; 1; 2]%nat = 3 / 2 /\
  feasible [0; 1; 2]%nat (fun l => INR l + 1) (fun _ => 1) 2 z.
Proof.
  intros z.
  assert (B : forall l, In l [0; 1; 2]%nat -> 0 <= z l <= 1) by (intros l [<-|[<-|[<-|[]]]]; unfold z; lra).
  assert (S : sum (fun l => (INR l + 1) * z l) [0; 1; 2]%nat = 2) by (unfold z; simpl; field).
  repeat split; auto; try (apply B; auto); try (rewrite S; lra).
  - intros l [<-|[<-|[<-|[]]]] H; unfold z; simpl in *; lra.
  - intros l [<-|[<-|[<-|[]]]] H; unfold z; simpl in *; lra.
  - unfold z. simpl. lra.
Qed.

Example late_layers_instance : let A := layer_cost (fun _ => 1) (fun _ => 1) 3 in
  let z := fun l => match l with O => 0 | 1%nat => 1 / 2 | _ => 1 end in
  A 2%nat < A 1%nat /\ forall z', feasible (seq 0 3) A (fun _ => 1) 2 z' -> sum z' (seq 0 3) <= sum z (seq 0 3).
Proof.
  intros A z. split; [unfold A, layer_cost; simpl; unfold Bound.depth_sum; lra|].
  apply (late_layers (fun _ => 1) (fun _ => 1) 3 2 (fun _ => 1) z 1); unfold z; auto; try (intros; lra).
  - intros [|[|l]] _; lra.
  - unfold layer_cost. simpl. unfold Bound.depth_sum. lra.
  - intros [|[|l]] H; auto; lia.
  - intros [|l] H; auto; lia.
Qed.

(* Two blocks of even and odd tokens; changing an odd one leaves token 0 as it is, through five layers. *)
Example non_interference_instance :
  let same := fun i j => Bool.eqb (Nat.even i) (Nat.even j) in
  let run := through (seq 0 4) same (fun _ x y => exp (x * y)) (fun _ x (_ : unit) => x) (fun _ x h => x + h tt) in
  run (fun j => INR j) 5%nat 0%nat = run (fun j => if Nat.eqb j 1 then 7 else INR j) 5%nat 0%nat.
Proof.
  intros same run. apply non_interference.
  - intros l x h h' H. rewrite H. auto.
  - intros i. unfold same. apply Bool.eqb_reflx.
  - intros i j k H. unfold same in *. apply Bool.eqb_prop in H. rewrite H. auto.
  - intros j H. destruct (Nat.eqb j 1) eqn:E; auto. apply Nat.eqb_eq in E. subst. discriminate.
Qed.

(* Powers of depth do not tend to the optimum. Eight layers, a budget for the last five, whose full leakage is 5: however
   it is scaled, (l/8)^beta removes at most 2 from beta = 5 on, steeper or not. *)
Theorem refuted_powers_of_depth (scale : R) (beta : nat) : 0 <= scale <= 1 -> (5 <= beta)%nat ->
  sum (fun l => scale * (INR (S l) / 8) ^ beta) (seq 0 8) <= 2 /\
  sum (fun l => if Nat.leb 3 l then 1 else 0) (seq 0 8) = 5.
Proof.
  intros S B. split; [|simpl; ring].
  apply Rle_trans with (sum (fun l => (INR (Datatypes.S l) / 8) ^ 5) (seq 0 8)).
  - apply sum_le. intros l Hl. apply in_seq in Hl. assert (P := pos_INR (Datatypes.S l)).
    assert (L : INR (Datatypes.S l) <= 8) by (apply le_INR in Hl || idtac; replace 8 with (INR 8) by (simpl; ring); apply le_INR; lia).
    set (y := INR (Datatypes.S l) / 8). assert (Y : 0 <= y <= 1) by (unfold y; lra).
    replace beta with (5 + (beta - 5))%nat by lia. rewrite pow_add.
    assert (Q : 0 <= y ^ (beta - 5) <= 1) by (split; [apply pow_le; lra|rewrite <- (pow1 (beta - 5)); apply pow_incr; lra]).
    assert (Q5 : 0 <= y ^ 5) by (apply pow_le; lra).
    assert (y ^ 5 * y ^ (beta - 5) <= y ^ 5) by nra. assert (0 <= y ^ 5 * y ^ (beta - 5)) by (apply Rmult_le_pos; lra). nra.
  - simpl. lra.
Qed.

(* The forms that run are the expressions. *)
Theorem dial_segment_form eps dial gap : dial * eps < 1 -> Form.dial_segment eps dial gap = Bound.dial_segment eps dial gap.
Proof. intros H. unfold Form.dial_segment, Bound.dial_segment. field. lra. Qed.
