(* Gates on attention: prices, the pair law, shares of a path, staircases (claims C1, C3, C6, C13).
   Mirrors bounds/gates/theorems/prices.py. A gate multiplies the weights of its group of keys before a row of attention
   is normalised; 1 is the model as trained, 0 the hard mask. *)

Require Import Reals Lra Psatz List Bool Lia FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Localist Require Import ClosedForms Sums Vectors.
From Localist Require PenaltyLevels.
Import ListNotations.
Open Scope R_scope.
Notation sum := Sums.sum.
Notation norm := Vectors.norm.

(* One gate moved, the others where they are. *)
Definition moved {G} (same : forall c c' : G, {c = c'} + {c <> c'}) (s : G -> R) (c : G) (t : R) : G -> R :=
  fun c' => if same c' c then t else s c'.

Lemma moved_nowhere {G} same (s : G -> R) c : moved same s c (s c) = s.
Proof. apply functional_extensionality. intros c'. unfold moved. destruct (same c' c) as [->|]; auto. Qed.

(* Along any curve of outputs the loss has the slope that the gradient gives: the chain rule, downstream effects
   included. *)
Definition gradient_at {I C} (rows : list I) (coords : list C) (loss : (I -> C -> R) -> R) (o g : I -> C -> R) : Prop :=
  forall (curve : R -> I -> C -> R) (t : R) (d : I -> C -> R), curve t = o ->
  (forall i x, In i rows -> In x coords -> is_derive (fun t => curve t i x) t (d i x)) ->
  is_derive (fun t => loss (curve t)) t (sum (fun i => dot coords (g i) (d i)) rows).

Section Layer.
Context {I G C : Type}.
Variables (rows : list I) (groups : list G) (coords : list C).
Variables (w_in : I -> R) (w : I -> G -> R) (o_in : I -> C -> R) (o_of : I -> G -> C -> R).
Implicit Types (s : G -> R) (i : I) (c : G) (x : C).

(* Z, Z_c/Z, the output and the leakage of a row. *)
Definition total s i : R := w_in i + sum (fun c => s c * w i c) groups.
Definition share s i c : R := w i c / total s i.
Definition output s i x : R := (w_in i * o_in i x + sum (fun c => s c * w i c * o_of i c x) groups) / total s i.
Definition leaked s i : R := sum (fun c => s c * w i c) groups / total s i.

Lemma total_derive (s : R -> G -> R) (ds : G -> R) t i :
  (forall c, In c groups -> is_derive (fun t => s t c) t (ds c)) ->
  is_derive (fun t => total (s t) i) t (sum (fun c => ds c * w i c) groups).
Proof.
  intros D. evar_last.
  - apply @is_derive_plus; [apply (is_derive_const (w_in i))|].
    apply (PenaltyLevels.is_derive_sum (fun c t => s t c * w i c) (fun c => ds c * w i c)). intros c Hc.
    apply (is_derive_scal_l (fun t => s t c) t (ds c) (w i c)), D, Hc.
  - unfold plus, zero. simpl. ring.
Qed.

(* A curve of gates moves a mean by the shares of the groups times what they would say. *)
Lemma mean_derive (s : R -> G -> R) (ds : G -> R) (a : R) (b : G -> R) t i : total (s t) i <> 0 ->
  (forall c, In c groups -> is_derive (fun t => s t c) t (ds c)) ->
  is_derive (fun t => (w_in i * a + sum (fun c => s t c * w i c * b c) groups) / total (s t) i) t
    (sum (fun c => ds c * (share (s t) i c * (b c - (w_in i * a + sum (fun c => s t c * w i c * b c) groups) / total (s t) i))) groups).
Proof.
  intros Z D. set (o := (w_in i * a + sum (fun c => s t c * w i c * b c) groups) / total (s t) i).
  evar_last.
  - apply @is_derive_div; [| |exact Z].
    + apply @is_derive_plus; [apply (is_derive_const (w_in i * a))|].
      apply (PenaltyLevels.is_derive_sum (fun c t => s t c * w i c * b c) (fun c => ds c * w i c * b c)). intros c Hc.
      apply (is_derive_scal_l (fun t => s t c * w i c) t (ds c * w i c) (b c)).
      apply (is_derive_scal_l (fun t => s t c) t (ds c) (w i c)), D, Hc.
    + apply total_derive, D.
  - rewrite (sum_ext (fun c => ds c * (share (s t) i c * (b c - o))) (fun c => / total (s t) i * (ds c * w i c * b c)
      - o / total (s t) i * (ds c * w i c))) by (intros; unfold share, Rdiv; ring).
    rewrite sum_minus, !sum_scal. unfold o, plus, zero. simpl. field. exact Z.
Qed.

Lemma output_derive (s : R -> G -> R) (ds : G -> R) t i x : total (s t) i <> 0 ->
  (forall c, In c groups -> is_derive (fun t => s t c) t (ds c)) ->
  is_derive (fun t => output (s t) i x) t
    (sum (fun c => ds c * (share (s t) i c * (o_of i c x - output (s t) i x))) groups).
Proof. intros Z D. apply (mean_derive s ds (o_in i x) (fun c => o_of i c x)); auto. Qed.

Lemma leaked_derive (s : R -> G -> R) (ds : G -> R) t i : total (s t) i <> 0 ->
  (forall c, In c groups -> is_derive (fun t => s t c) t (ds c)) ->
  is_derive (fun t => leaked (s t) i) t (sum (fun c => ds c * (share (s t) i c * (1 - leaked (s t) i))) groups).
Proof.
  intros Z D. assert (E : forall s, leaked s i = (w_in i * 0 + sum (fun c => s c * w i c * 1) groups) / total s i).
  { intros s'. unfold leaked. f_equal. rewrite Rmult_0_r, Rplus_0_l. apply sum_ext. intros. ring. }
  apply is_derive_ext with (fun t => (w_in i * 0 + sum (fun c => s t c * w i c * 1) groups) / total (s t) i).
  - intros u. symmetry. apply E.
  - rewrite E. apply (mean_derive s ds 0 (fun _ => 1)); auto.
Qed.

Variables (loss : (I -> C -> R) -> R) (g : I -> C -> R).

(* The slope of the loss along a curve of gates: every gate by its price. *)
Definition price s c : R :=
  sum (fun i => Bound.gate_price (share s i c) (dot coords (g i) (fun x => o_of i c x - output s i x))) rows.

Lemma loss_derive (s : R -> G -> R) (ds : G -> R) t : (forall i, In i rows -> total (s t) i <> 0) ->
  (forall c, In c groups -> is_derive (fun t => s t c) t (ds c)) ->
  gradient_at rows coords loss (output (s t)) g ->
  is_derive (fun t => loss (output (s t))) t (sum (fun c => ds c * price (s t) c) groups).
Proof.
  intros Z D L. evar_last.
  - apply (L (fun t => output (s t)) t (fun i x => sum (fun c => ds c * (share (s t) i c * (o_of i c x - output (s t) i x))) groups)); auto.
    intros i x Hi Hx. apply output_derive; auto.
  - unfold price. rewrite (sum_ext (fun c => ds c * _) (fun c => sum (fun i => ds c * (share (s t) i c
      * dot coords (g i) (fun x => o_of i c x - output (s t) i x))) rows)) by (intros; rewrite <- sum_scal; auto).
    rewrite sum_swap. apply sum_ext. intros i _.
    rewrite (dot_sum_r coords (g i) (fun c x => ds c * (share (s t) i c * (o_of i c x - output (s t) i x))) groups).
    apply sum_ext. intros c _. rewrite <- !dot_scal_r. reflexivity.
Qed.

Variable same : forall c c' : G, {c = c'} + {c <> c'}.
Hypothesis once : NoDup groups.

Lemma moved_derive s c t : forall c', is_derive (fun t => moved same s c t c') t (if same c' c then 1 else 0).
Proof.
  intros c'. unfold moved. destruct (same c' c); [apply (is_derive_id t)|apply (is_derive_const (s c') t)].
Qed.

Lemma only_one (f : G -> R) c : In c groups -> sum (fun c' => (if same c' c then 1 else 0) * f c') groups = f c.
Proof.
  intros Hc. rewrite (sum_only same groups c _ once Hc).
  2: { intros c' N. destruct (same c' c); [congruence|ring]. }
  destruct (same c c); [ring|congruence].
Qed.

Theorem gate_price s c : In c groups -> (forall i, In i rows -> total s i <> 0) ->
  gradient_at rows coords loss (output s) g ->
  is_derive (fun t => loss (output (moved same s c t))) (s c)
    (sum (fun i => Bound.gate_price (share s i c) (dot coords (g i) (fun x => o_of i c x - output s i x))) rows).
Proof.
  intros Hc Z L. evar_last.
  - apply (loss_derive (moved same s c) (fun c' => if same c' c then 1 else 0) (s c)).
    + intros i Hi. rewrite moved_nowhere. auto.
    + intros c' _. apply moved_derive.
    + rewrite moved_nowhere. exact L.
  - rewrite moved_nowhere. apply (only_one (price s)), Hc.
Qed.

(* The same of a row's own leakage. *)
Lemma leaked_price s c i : In c groups -> total s i <> 0 ->
  is_derive (fun t => leaked (moved same s c t) i) (s c) (share s i c * (1 - leaked s i)).
Proof.
  intros Hc Z. evar_last.
  - apply (leaked_derive (moved same s c) (fun c' => if same c' c then 1 else 0) (s c)).
    + rewrite moved_nowhere. auto.
    + intros c' _. apply moved_derive.
  - rewrite moved_nowhere. apply (only_one (fun c => share s i c * (1 - leaked s i))), Hc.
Qed.

(* At the mask. *)
Definition shut : G -> R := fun _ => 0.
Lemma total_shut i : total shut i = w_in i.
Proof. unfold total. rewrite sum_all_zero; [ring|]. intros. unfold shut. ring. Qed.
Lemma output_shut i x : w_in i <> 0 -> output shut i x = o_in i x.
Proof.
  intros W. unfold output. rewrite total_shut, sum_all_zero; [field; auto|]. intros. unfold shut. ring.
Qed.
Lemma leaked_shut i : leaked shut i = 0.
Proof. unfold leaked. rewrite sum_all_zero; [unfold Rdiv; ring|]. intros. unfold shut. ring. Qed.
End Layer.

(* A gate over pairs of a row and a key, all opened together: minus its slope of the loss over that of the leakage, the
   mean over N rows, is the weighted mean of what every pair alone would need. *)
Section Pairs.
Context {I K C : Type}.
Variables (rows : list I) (keys : list K) (coords : list C).
Variables (w_in : I -> R) (w : I -> K -> R) (o_in : I -> C -> R) (v : I -> K -> C -> R) (N : R).
Variables (loss : (I -> C -> R) -> R) (g : I -> C -> R).
Hypothesis inside : forall i, 0 < w_in i.
Hypothesis weights : forall i j, In i rows -> In j keys -> 0 <= w i j.
Hypothesis some : exists i j, In i rows /\ In j keys /\ 0 < w i j.
Hypothesis N_pos : 0 < N.
Hypothesis slopes : gradient_at rows coords loss o_in g.

Definition odds i j : R := w i j / w_in i.
Definition pair_penalty i j : R := - (N * dot coords (g i) (fun x => v i j x - o_in i x)).
Definition opened (t : R) : K -> R := fun _ => t.
Definition mean_leakage (t : R) : R := sum (leaked keys w_in w (opened t)) rows / N.

Theorem pair_law : exists dl dw,
  is_derive (fun t => loss (output keys w_in w o_in v (opened t))) 0 dl /\ is_derive mean_leakage 0 dw /\ 0 < dw /\
  - dl / dw = sum (fun i => sum (fun j => Bound.pair_law (odds i j) (pair_penalty i j)) keys) rows
              / sum (fun i => sum (odds i) keys) rows.
Proof.
  assert (W : forall i, w_in i <> 0) by (intros i; specialize (inside i); lra).
  assert (O0 : output keys w_in w o_in v (opened 0) = o_in).
  { apply functional_extensionality. intros i. apply functional_extensionality. intros x. apply output_shut, W. }
  assert (T0 : forall i, total keys w_in w (opened 0) i = w_in i) by (intros; apply total_shut).
  assert (D1 : forall j t, is_derive (fun t => opened t j) t 1) by (intros; apply (is_derive_id t)).
  set (dl := sum (fun i => sum (fun j => odds i j * dot coords (g i) (fun x => v i j x - o_in i x)) keys) rows).
  set (od := sum (fun i => sum (odds i) keys) rows).
  assert (Od : 0 < od).
  { assert (P : forall i j, In i rows -> In j keys -> 0 <= odds i j).
    { intros i j Hi Hj. apply Rmult_le_pos; auto. left. apply Rinv_0_lt_compat, inside. }
    destruct some as (i & j & Hi & Hj & Wp). apply sum_pos.
    - intros i' Hi'. apply sum_nonneg. auto.
    - exists i. split; auto. apply sum_pos; [auto|]. exists j. split; auto. apply Rdiv_lt_0_compat; auto. }
  exists dl, (od / N). split; [|split; [|split]].
  - evar_last.
    + apply (loss_derive rows keys coords w_in w o_in v loss g opened (fun _ => 1) 0); auto.
      * intros i _. rewrite T0. apply W.
      * rewrite O0. apply slopes.
    + unfold price, Bound.gate_price, share. rewrite O0, (sum_ext _ (fun j => sum (fun i =>
        odds i j * dot coords (g i) (fun x => v i j x - o_in i x)) rows)).
      * rewrite sum_swap. reflexivity.
      * intros j _. rewrite Rmult_1_l. apply sum_ext. intros i _. rewrite T0. reflexivity.
  - unfold mean_leakage. evar_last.
    + apply (is_derive_scal_l (fun t => sum (leaked keys w_in w (opened t)) rows) 0 od (/ N)). unfold od.
      apply (PenaltyLevels.is_derive_sum (fun i t => leaked keys w_in w (opened t) i) (fun i => sum (odds i) keys)).
      intros i _. evar_last.
      * apply (leaked_derive keys w_in w opened (fun _ => 1) 0 i); auto. rewrite T0. apply W.
      * apply sum_ext. intros j _. unfold share. rewrite T0.
        assert (L0 : leaked keys w_in w (opened 0) i = 0) by apply leaked_shut. rewrite L0. unfold odds, Rdiv. ring.
    + reflexivity.
  - apply Rdiv_lt_0_compat; auto.
  - unfold Bound.pair_law, pair_penalty. rewrite (sum_ext (fun i => sum _ keys) (fun i => sum (fun j =>
      - N * (odds i j * dot coords (g i) (fun x => v i j x - o_in i x))) keys) rows).
    + rewrite (sum_ext (fun i => sum _ keys) (fun i => - N * sum (fun j =>
        odds i j * dot coords (g i) (fun x => v i j x - o_in i x)) keys) rows) by (intros; apply sum_scal).
      rewrite sum_scal. fold dl od. field. lra.
    + intros i _. apply sum_ext. intros j _. ring.
Qed.
End Pairs.

(* Completeness: along a path the loss falls by the sum of the gates' own integrals. *)
Theorem gate_shares {G} (groups : list G) (loss : (G -> R) -> R) (partial : G -> (G -> R) -> R) (path speed : R -> G -> R) :
  (forall t, 0 <= t <= 1 -> is_derive (fun t => loss (path t)) t
    (sum (fun c => Bound.gate_shares (partial c (path t)) (speed t c)) groups)) ->
  (forall c t, In c groups -> 0 <= t <= 1 -> continuous (fun t => Bound.gate_shares (partial c (path t)) (speed t c)) t) ->
  loss (path 0) - loss (path 1) =
    sum (fun c => - RInt (fun t => Bound.gate_shares (partial c (path t)) (speed t c)) 0 1) groups.
Proof.
  intros D K. set (f := fun c t => Bound.gate_shares (partial c (path t)) (speed t c)) in *.
  assert (In_ : forall l, (forall c, In c l -> In c groups) ->
    is_RInt (fun t => sum (fun c => f c t) l) 0 1 (sum (fun c => RInt (f c) 0 1) l)).
  { induction l as [|c l IH]; intros H; simpl.
    - evar_last; [apply (is_RInt_const 0 1 0)|]. unfold scal. simpl. unfold mult. simpl. ring.
    - apply (is_RInt_plus (f c) (fun t => sum (fun c => f c t) l)); [|apply IH; intros; apply H; simpl; auto].
      apply (RInt_correct (f c)). apply (ex_RInt_continuous (f c)). intros t T.
      rewrite Rmin_left, Rmax_right in T by lra. apply K; auto. apply H. simpl. auto. }
  assert (F : is_RInt (fun t => sum (fun c => f c t) groups) 0 1 (loss (path 1) - loss (path 0))).
  { apply (is_RInt_derive (fun t => loss (path t)) (fun t => sum (fun c => f c t) groups)).
    - intros t T. rewrite Rmin_left, Rmax_right in T by lra. apply D, T.
    - intros t T. rewrite Rmin_left, Rmax_right in T by lra.
      assert (Ct : forall l, (forall c, In c l -> In c groups) -> continuous (fun t => sum (fun c => f c t) l) t).
      { induction l as [|c l IH]; intros H; simpl; [apply continuous_const|].
        apply (continuous_plus (f c)); [apply K; auto; apply H; simpl; auto|apply IH; intros; apply H; simpl; auto]. }
      apply Ct. auto. }
  rewrite sum_opp. assert (U := is_RInt_unique _ _ _ _ F).
  rewrite (is_RInt_unique _ _ _ _ (In_ groups (fun c H => H))) in U.
  transitivity (- sum (fun c => RInt (f c) 0 1) groups); [lra|reflexivity].
Qed.

(* A staircase: layer l opens from time 0 to 1 while what is inside and outside of its rows stays. *)
Section Staircase.
Context {I C : Type}.
Variables (rows : nat -> list I) (coords : list C) (N : nat -> R) (layers : nat).
Variables (loss : nat -> (I -> C -> R) -> R) (g : nat -> R -> I -> C -> R).
Variables (o_in o_out : nat -> I -> C -> R) (eps rise : nat -> R -> I -> R).
Definition between l (t : R) : I -> C -> R := fun i x => o_in l i x + eps l t i * (o_out l i x - o_in l i x).
Definition along l t i : R := - dot coords (g l t i) (fun x => o_out l i x - o_in l i x).
Definition cost l t : R := loss l (between l t).

Hypothesis slopes : forall l t, (l < layers)%nat -> 0 <= t <= 1 -> gradient_at (rows l) coords (loss l) (between l t) (g l t).
Hypothesis opens : forall l t i, (l < layers)%nat -> 0 <= t <= 1 -> In i (rows l) ->
  is_derive (fun t => eps l t i) t (rise l t i) /\ 0 <= rise l t i.
Hypothesis from_shut : forall l i, (l < layers)%nat -> In i (rows l) -> eps l 0 i = 0.
Hypothesis goes_on : forall l, (S l < layers)%nat -> cost (S l) 0 = cost l 1.
Hypothesis N_pos : forall l, (l < layers)%nat -> 0 < N l.

Lemma cost_derive l t : (l < layers)%nat -> 0 <= t <= 1 ->
  is_derive (cost l) t (- sum (fun i => along l t i * rise l t i) (rows l)).
Proof.
  intros L T. evar_last.
  - apply (slopes l t L T (between l) t (fun i x => rise l t i * (o_out l i x - o_in l i x))); auto.
    intros i x Hi Hx. unfold between. evar_last.
    + apply @is_derive_plus; [apply (is_derive_const (o_in l i x) t)|].
      apply (is_derive_scal_l (fun t => eps l t i) t (rise l t i) (o_out l i x - o_in l i x)), opens; auto.
    + unfold plus, zero, scal. simpl. unfold mult. simpl. ring.
  - rewrite <- sum_opp. apply sum_ext. intros i _. unfold along. rewrite dot_scal_r. ring.
Qed.

Lemma one_layer l A : (l < layers)%nat ->
  (forall t i, 0 <= t <= 1 -> In i (rows l) -> N l * along l t i <= A) ->
  cost l 0 - cost l 1 <= A * (sum (eps l 1) (rows l) / N l).
Proof.
  intros L H. assert (Np := N_pos l L).
  set (h := fun t => cost l t + A / N l * sum (eps l t) (rows l)).
  set (h' := fun t => sum (fun i => (A / N l - along l t i) * rise l t i) (rows l)).
  assert (D : forall t, 0 <= t <= 1 -> is_derive h t (h' t)).
  { intros t T. unfold h. evar_last.
    - apply @is_derive_plus; [apply cost_derive; auto|].
      apply is_derive_scal, (PenaltyLevels.is_derive_sum (fun i t => eps l t i) (rise l t)). intros i Hi. apply opens; auto.
    - unfold plus, h'. simpl. rewrite <- sum_opp, <- sum_scal, <- sum_plus. apply sum_ext. intros. ring. }
  destruct (MVT_gen h 0 1 h') as [t [T E]].
  - intros t T. rewrite Rmin_left, Rmax_right in T by lra. apply D. lra.
  - intros t T. rewrite Rmin_left, Rmax_right in T by lra.
    apply continuity_pt_filterlim, (ex_derive_continuous h). eexists. apply D, T.
  - rewrite Rmin_left, Rmax_right in T by lra. unfold h in E.
    assert (Z : sum (eps l 0) (rows l) = 0) by (apply sum_all_zero; intros; apply from_shut; auto).
    assert (P : 0 <= h' t).
    { apply sum_nonneg. intros i Hi. apply Rmult_le_pos; [|apply opens; auto].
      assert (Q := H t i T Hi). assert (along l t i <= A / N l); [|lra].
      apply (Rmult_le_reg_l (N l)); auto. unfold Rdiv. replace (N l * (A * / N l)) with A by (field; lra). exact Q. }
    rewrite Z in E. unfold Rdiv in *. lra.
Qed.

Definition opened_leakage : R := sum (fun l => sum (eps l 1) (rows l) / N l) (seq 0 layers).

Theorem gate_staircase A : (0 < layers)%nat ->
  (forall l t i, (l < layers)%nat -> 0 <= t <= 1 -> In i (rows l) -> N l * along l t i <= A) ->
  cost 0 0 - cost (layers - 1) 1 <= Bound.gate_staircase opened_leakage A.
Proof.
  intros Ls H. unfold Bound.gate_staircase, opened_leakage.
  assert (Q : forall n, (S n <= layers)%nat ->
    cost 0 0 - cost n 1 <= A * sum (fun l => sum (eps l 1) (rows l) / N l) (seq 0 (S n))).
  { induction n as [|n IH]; intros Hn.
    - cbn [seq Sums.sum]. rewrite Rplus_0_r. apply one_layer; auto.
    - specialize (IH ltac:(lia)). rewrite seq_S, sum_app. cbn [Sums.sum]. change (0 + S n)%nat with (S n).
      assert (O := one_layer (S n) A ltac:(lia) (fun t i => H (S n) t i ltac:(lia))). rewrite goes_on in O by lia.
      rewrite Rplus_0_r. lra. }
  specialize (Q (layers - 1)%nat ltac:(lia)). replace (S (layers - 1)) with layers in Q by lia. exact Q.
Qed.

(* The identity itself, the slopes being continuous. *)
Theorem gate_staircase_identity : (0 < layers)%nat ->
  (forall l t, (l < layers)%nat -> 0 <= t <= 1 -> continuous (fun t => sum (fun i => along l t i * rise l t i) (rows l)) t) ->
  cost 0 0 - cost (layers - 1) 1 =
    sum (fun l => RInt (fun t => sum (fun i => along l t i * rise l t i) (rows l)) 0 1) (seq 0 layers).
Proof.
  intros Ls K.
  assert (One : forall l, (l < layers)%nat ->
    RInt (fun t => sum (fun i => along l t i * rise l t i) (rows l)) 0 1 = cost l 0 - cost l 1).
  { intros l L. replace (cost l 0 - cost l 1) with (opp (cost l 1 - cost l 0)) by (unfold opp; simpl; ring).
    apply is_RInt_unique.
    apply (is_RInt_ext (fun t => opp (- sum (fun i => along l t i * rise l t i) (rows l)))).
    { intros. unfold opp. simpl. ring. }
    apply @is_RInt_opp. apply (is_RInt_derive (cost l)).
    - intros t T. rewrite Rmin_left, Rmax_right in T by lra. apply cost_derive; auto.
    - intros t T. rewrite Rmin_left, Rmax_right in T by lra.
      apply (continuous_opp (fun t => sum (fun i => along l t i * rise l t i) (rows l))). apply K; auto. }
  assert (Q : forall n, (S n <= layers)%nat -> cost 0 0 - cost n 1 =
    sum (fun l => RInt (fun t => sum (fun i => along l t i * rise l t i) (rows l)) 0 1) (seq 0 (S n))).
  { induction n as [|n IH]; intros Hn.
    - cbn [seq Sums.sum]. rewrite One by lia. ring.
    - specialize (IH ltac:(lia)). rewrite seq_S, sum_app, <- IH. cbn [Sums.sum]. change (0 + S n)%nat with (S n). rewrite One, goes_on by lia. ring. }
  specialize (Q (layers - 1)%nat ltac:(lia)). replace (S (layers - 1)) with layers in Q by lia. exact Q.
Qed.
End Staircase.

(* One row that says 0 inside and 1 outside at odds of 1, and a loss that is c times what it says. *)
Definition unit_same (c c' : unit) : {c = c'} + {c <> c'} :=
  match c, c' with tt, tt => left eq_refl end.
Definition single : unit -> R := fun _ => 1.
Definition ones : unit -> unit -> R := fun _ _ => 1.
Definition zeros : unit -> unit -> R := fun _ _ => 0.
Definition said (c : R) (o : unit -> unit -> R) : R := c * o tt tt.

Lemma said_gradient c o : gradient_at [tt] [tt] (said c) o (fun _ _ => c).
Proof.
  intros curve t d _ D. unfold said. evar_last.
  - apply is_derive_scal, D; simpl; auto.
  - unfold dot. simpl. ring.
Qed.

Example gate_price_instance :
  is_derive (fun t => said 1 (output [tt] single ones zeros (fun _ => ones) (moved unit_same single tt t))) 1
    (Bound.gate_price (1 / 2) (1 / 2)).
Proof.
  evar_last.
  - apply (gate_price [tt] [tt] [tt] single ones zeros (fun _ => ones) (said 1) (fun _ _ => 1) unit_same); simpl; auto.
    + repeat constructor. simpl. tauto.
    + intros i _. unfold total, single, ones. simpl. lra.
    + apply said_gradient.
  - unfold Bound.gate_price, share, output, total, dot, single, ones, zeros. simpl. field.
Qed.

Example pair_law_instance : exists dl dw,
  is_derive (fun t => said (-1) (output [tt] single ones zeros (fun _ => ones) (opened t))) 0 dl /\
  is_derive (mean_leakage [tt] [tt] single ones 1) 0 dw /\ 0 < dw /\ - dl / dw = 1.
Proof.
  destruct (pair_law [tt] [tt] [tt] single ones zeros (fun _ => ones) 1 (said (-1)) (fun _ _ => -1)) as (dl & dw & L & W & P & E).
  - unfold single. intros. lra.
  - unfold ones. intros. lra.
  - exists tt, tt. unfold ones. simpl. repeat split; auto. lra.
  - lra.
  - apply said_gradient.
  - exists dl, dw. split; [exact L|]. split; [exact W|]. split; [exact P|]. rewrite E.
    unfold Bound.pair_law, pair_penalty, odds, dot, single, ones, zeros. simpl. field.
Qed.

Example gate_shares_instance :
  (fun s : unit -> R => s tt) (fun _ => 0) - (fun s : unit -> R => s tt) (fun _ => 1)
  = sum (fun _ : unit => - RInt (fun _ => Bound.gate_shares 1 1) 0 1) [tt].
Proof.
  apply (gate_shares [tt] (fun s => s tt) (fun _ _ => 1) (fun t _ => t) (fun _ _ => 1)).
  - intros t _. unfold Bound.gate_shares. simpl. evar_last; [apply (is_derive_id t)|]. unfold one. simpl. ring.
  - intros c t _ _. apply continuous_const.
Qed.

(* One layer whose leakage rises to 1/2 and takes as much off the loss. *)
Example gate_staircase_instance : 0 - - (1 / 2) <= Bound.gate_staircase (1 / 2) 1.
Proof.
  assert (H := gate_staircase (fun _ => [tt]) [tt] (fun _ => 1) 1 (fun _ => said (-1)) (fun _ _ _ _ => -1)
    (fun _ => zeros) (fun _ => ones) (fun _ t _ => t / 2) (fun _ _ _ => 1 / 2)).
  unfold cost, between, along, said, opened_leakage, zeros, ones, dot in H. simpl in H.
  replace (0 - - (1 / 2)) with (-1 * (0 + 0 / 2 * (1 - 0)) - -1 * (0 + 1 / 2 * (1 - 0))) by field.
  unfold Bound.gate_staircase in *.
  apply Rle_trans with (1 * ((1 / 2 + 0) / 1 + 0)); [apply H; auto; try lra|lra].
  - intros l t _ _. apply said_gradient.
  - intros l t i _ _ _. split; [|lra]. evar_last; [apply (is_derive_scal_l (fun t => t) t 1 (/ 2)), (is_derive_id t)|].
    unfold scal. simpl. unfold mult. simpl. field.
  - intros. lra.
  - intros l L. lia.
  - intros. lra.
  - intros. lra.
Qed.
