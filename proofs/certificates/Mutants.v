(* What the mutated statements of the main theorems are refuted by: without the hypothesis that matters the bound is
   exceeded, and with it the bound is not a bound on the other side. Five keys, a block of three, two anchors.

   Numbers are certified by the interval tactic, whose arithmetic uses the machine integers and floats of Coq's kernel. So
   these stand apart from the pinned theorems, which need no axiom but those of the reals; proofs/mutations.py runs them. *)

Require Import Reals Lra Psatz List Bool Lia.
From Interval Require Import Tactic.
From Localist Require Import ClosedForms Sums Attention Concentration Entropy Floors Dial Kinds Rules GatesLeakage.
Import ListNotations.
Open Scope R_scope.

(* Sums over the five keys, written out. *)
Ltac written_out :=
  unfold leakage, fidelity, entropy, softmax, attention, mass, outside, dialled, biased, five, first_three, first_two, two_high;
  simpl.

Definition flat (_ : nat) : R := 0.
(* One free key so low, or the block so high, that no range of 2 holds. *)
Definition one_low (j : nat) : R := if first_two j then 2 else if first_three j then -9 else 0.
Definition block_high (j : nat) : R := if first_three j then 9 else 0.
Definition block_low (j : nat) : R := if first_three j then 0 else 9.
Definition spiked (j : nat) : R := if Nat.eqb j 0 then 30 else 0.

(* Without the margin. *)
Theorem leakage_ceiling_needs_margin :
  Bound.leakage_ceiling 4 5 3 2 < leakage (softmax flat (1 / 2) five) first_three five.
Proof. written_out. unfold flat, Bound.leakage_ceiling. interval. Qed.
Theorem fidelity_floor_needs_margin :
  fidelity (softmax flat (1 / 2) five) first_three five < Bound.fidelity_floor 4 5 3 2.
Proof. written_out. unfold flat, Bound.fidelity_floor. interval. Qed.
Theorem entropy_ceiling_needs_margin : Bound.entropy_ceiling 4 5 3 2 < entropy (softmax flat (1 / 2) five) five.
Proof. written_out. unfold flat, Bound.entropy_ceiling. interval. Qed.
Theorem entropy_envelope_needs_margin : Bound.entropy_envelope 4 5 3 2 < entropy (softmax flat (1 / 2) five) five.
Proof. written_out. unfold flat, Bound.entropy_envelope. interval. Qed.
Theorem weights_leakage_needs_margin :
  Bound.weights_leakage 5 3 2 4 < leakage (attention (fun _ => 1) five) first_three five.
Proof. written_out. unfold Bound.weights_leakage. lra. Qed.

(* Without the range. *)
Theorem leakage_ceiling_range_needs_range : margin one_low 2 five first_three first_two /\
  Bound.leakage_ceiling_range 4 4 5 3 2 < leakage (softmax one_low (1 / 2) five) first_three five.
Proof.
  split.
  - intros [|[|a]] [|[|[|o]]] _ _ H K; unfold one_low, first_two, first_three in *; simpl in *; try discriminate; lra.
  - unfold one_low. written_out. unfold Bound.leakage_ceiling_range. rewrite Rmax_right by lra. interval.
Qed.
Theorem fidelity_ceiling_needs_range :
  Bound.fidelity_ceiling 4 5 3 < fidelity (softmax block_high (1 / 2) five) first_three five.
Proof. unfold block_high. written_out. unfold Bound.fidelity_ceiling. interval. Qed.
Theorem worst_case_dial_needs_range :
  Bound.worst_case_dial 4 5 3 5 < leakage (softmax (dialled block_low first_three (1 / 2) 5) (1 / 2) five) first_three five.
Proof. unfold block_low. written_out. unfold Bound.worst_case_dial. interval. Qed.
Theorem rule_mass_needs_range :
  Bound.rule_mass 4 5 (1 / 2) 3 3 < leakage (softmax (biased block_low first_three 3) (1 / 2) five) first_three five.
Proof. unfold block_low. written_out. unfold Bound.rule_mass. interval. Qed.
Theorem entropy_floor_needs_range : forall k, (1 <= k < 5)%nat ->
  entropy (softmax spiked (1 / 2) five) five < Bound.entropy_floor 4 5 (INR k).
Proof.
  intros k Hk. assert (C : k = 1%nat \/ k = 2%nat \/ k = 3%nat \/ k = 4%nat) by lia.
  assert (E : entropy (softmax spiked (1 / 2) five) five <= 1 / 1000) by (unfold spiked; written_out; interval with (i_prec 120)).
  destruct C as [->|[->|[->| ->]]]; apply Rle_lt_trans with (1 := E); unfold Bound.entropy_floor; simpl; interval.
Qed.

(* A law whose total is not 1. *)
Theorem entropy_split_needs_total : exists p : nat -> R, (forall j, In j five -> 0 <= p j) /\
  Bound.entropy_split 5 3 (leakage p first_three five) < entropy p five.
Proof.
  exists (fun _ => 2 / 5). split; [intros; lra|]. written_out. unfold Bound.entropy_split. interval.
Qed.

(* The signs turned: each bound is not attained here, and so none on the other side. *)
Theorem leakage_ceiling_strict :
  leakage (softmax two_high (1 / 2) five) first_three five < Bound.leakage_ceiling 4 5 3 2.
Proof. written_out. unfold Bound.leakage_ceiling. interval. Qed.
Theorem fidelity_floor_strict :
  Bound.fidelity_floor 4 5 3 2 < fidelity (softmax two_high (1 / 2) five) first_three five.
Proof. written_out. unfold Bound.fidelity_floor. interval. Qed.
Theorem entropy_ceiling_strict : entropy (softmax two_high (1 / 2) five) five < Bound.entropy_ceiling 4 5 3 2.
Proof. written_out. unfold Bound.entropy_ceiling. interval. Qed.
Theorem entropy_envelope_strict : entropy (softmax two_high (1 / 2) five) five < Bound.entropy_envelope 4 5 3 2.
Proof. written_out. unfold Bound.entropy_envelope. interval. Qed.
Theorem fidelity_ceiling_strict :
  fidelity (softmax two_high (1 / 2) five) first_three five < Bound.fidelity_ceiling 4 5 3.
Proof. written_out. unfold Bound.fidelity_ceiling. interval. Qed.
Theorem worst_case_dial_strict :
  leakage (softmax (dialled two_high first_three (1 / 2) 5) (1 / 2) five) first_three five < Bound.worst_case_dial 4 5 3 5.
Proof. written_out. unfold Bound.worst_case_dial. interval. Qed.
Theorem rule_mass_strict :
  leakage (softmax (biased two_high first_two 3) (1 / 2) five) first_two five < Bound.rule_mass 4 5 (1 / 2) 2 3.
Proof. written_out. unfold Bound.rule_mass. interval. Qed.
Theorem entropy_split_strict :
  entropy (softmax two_high (1 / 2) five) five < Bound.entropy_split 5 3 (leakage (softmax two_high (1 / 2) five) first_three five).
Proof. written_out. unfold Bound.entropy_split. interval. Qed.
Theorem leakage_ceiling_range_strict :
  leakage (softmax (fun j => if first_three j then 2 else 0) (1 / 2) five) first_three five < Bound.leakage_ceiling_range 4 4 5 3 2.
Proof. written_out. unfold Bound.leakage_ceiling_range. rewrite Rmax_right by lra. interval. Qed.
Theorem weights_leakage_strict :
  leakage (attention (fun j => if first_three j then 8 else 2) five) first_three five < Bound.weights_leakage 5 3 2 4.
Proof. written_out. unfold Bound.weights_leakage. lra. Qed.

(* The frontier: an even block whose outsiders are nearer than the margin that is claimed; and a row below it. *)
Definition too_near (j : nat) : R := if first_three j then 0 else - (194 / 100).
Definition staggered (j : nat) : R := match j with O => 3 | 1%nat => 2 | _ => 0 end.
Ltac decide_frontier :=
  unfold Bound.frontier; destruct (Rle_dec _ _) as [H|H];
  [try (exfalso; revert H; apply Rlt_not_le; interval)|try (exfalso; apply H; interval)]; interval.
Theorem frontier_needs_margin : let a := softmax too_near (1 / 2) five in
  Bound.frontier 4 5 3 2 (leakage a first_three five) < entropy a five.
Proof. unfold too_near. written_out. decide_frontier. Qed.
Theorem frontier_strict : let a := softmax staggered (1 / 2) five in
  entropy a five < Bound.frontier 4 5 3 2 (leakage a first_three five).
Proof. unfold staggered. written_out. decide_frontier. Qed.

Theorem entropy_floor_strict : forall k, (1 <= k < 5)%nat ->
  Bound.entropy_floor 4 5 (INR k) < entropy (softmax flat (1 / 2) five) five.
Proof.
  intros k Hk. assert (C : k = 1%nat \/ k = 2%nat \/ k = 3%nat \/ k = 4%nat) by lia.
  destruct C as [->|[->|[->| ->]]]; written_out; unfold flat, Bound.entropy_floor; simpl; interval.
Qed.

(* A solution that is worse than the reference may leak more, and one that is no worse may leak less. *)
Theorem penalised_leakage_needs_objective : Bound.penalised_leakage 1 1 0 < 2.
Proof. unfold Bound.penalised_leakage. lra. Qed.
Theorem penalised_leakage_strict :
  objective 1 0 0 <= objective 1 1 0 /\ 0 < Bound.penalised_leakage 1 1 0.
Proof. unfold objective, Bound.penalised_leakage. lra. Qed.

(* Two rows that leak all, and two that leak nothing. *)
Theorem rows_above_needs_mean :
  Bound.rows_above (1 / 4) 1 < count (above 1 (fun _ : bool => 1)) [true; false] / size [true; false].
Proof.
  unfold Bound.rows_above, count, size, above. simpl. destruct (Rle_dec 1 1); [simpl; lra|lra].
Qed.
Theorem rows_above_strict : mean (fun _ : bool => 0) [true; false] <= 1 /\
  count (above 1 (fun _ : bool => 0)) [true; false] / size [true; false] < Bound.rows_above 1 1.
Proof.
  unfold Bound.rows_above, mean, count, size, above. simpl. destruct (Rle_dec 1 0); [lra|simpl; lra].
Qed.
