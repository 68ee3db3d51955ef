(* Recruitment by penalised likelihood (claim C9). Mirrors bounds/recruitment/theorems. [nll t] is the total negative
   log-likelihood after t recruitments and the refitting that follows each; it cannot be negative on discrete data. *)

Require Import Reals Lra Psatz List Lia.
From Localist Require Import ClosedForms Sums Attention.
Import ListNotations.
Open Scope R_scope.

(* The rule: a candidate is recruited iff the drop exceeds its price. *)
Definition recruits (drop price : R) : bool := if Rlt_dec price drop then true else false.

Section Count.
Variables (nll : nat -> R) (extra : nat -> R) (N least cost : R) (T : nat).
Hypothesis never_negative : forall t, 0 <= nll t.
Hypothesis enough_data : 1 <= N.
Hypothesis cost_pos : 0 < cost.
Hypothesis least_pos : 0 <= least.
Hypothesis extra_least : forall t, (t < T)%nat -> least <= extra t.
Hypothesis recruited : forall t, (t < T)%nat ->
  recruits (nll t - nll (S t)) (Form.recruitment_price (extra t) N cost) = true.

Lemma price_pos : 0 < cost + least * ln N / 2.
Proof. assert (L := ln_le 1 N ltac:(lra) enough_data). rewrite ln_1 in L. assert (0 <= least * ln N) by sign. lra. Qed.

Lemma price_paid t : (t <= T)%nat -> INR t * (cost + least * ln N / 2) <= nll 0 - nll t.
Proof.
  induction t as [|t IH]; intros H; [simpl; lra|]. rewrite S_INR.
  assert (R := recruited t ltac:(lia)). unfold recruits, Form.recruitment_price in R.
  destruct (Rlt_dec _ _) as [D|]; [|discriminate]. specialize (IH ltac:(lia)).
  assert (X := extra_least t ltac:(lia)). assert (L := ln_le 1 N ltac:(lra) enough_data). rewrite ln_1 in L.
  assert (least * ln N <= extra t * ln N) by (apply Rmult_le_compat_r; auto). lra.
Qed.

Theorem recruitment_count : INR T <= Bound.recruitment_count (nll 0) N least cost.
Proof.
  unfold Bound.recruitment_count. assert (P := price_pos). assert (Q := price_paid T (le_n T)).
  assert (Z := never_negative T). apply (Rmult_le_reg_r (cost + least * ln N / 2)); auto.
  unfold Rdiv at 2. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

(* Fewer than that, where there was anything to gain. *)
Theorem recruitment_count_strict : 0 < nll 0 -> INR T < Bound.recruitment_count (nll 0) N least cost.
Proof.
  intros G. unfold Bound.recruitment_count. assert (P := price_pos).
  apply (Rmult_lt_reg_r (cost + least * ln N / 2)); auto. unfold Rdiv at 2. rewrite Rmult_assoc, Rinv_l by lra.
  destruct T as [|t]; [simpl; lra|]. rewrite S_INR. assert (Z := never_negative (S t)).
  assert (R := recruited t ltac:(lia)). unfold recruits, Form.recruitment_price in R.
  destruct (Rlt_dec _ _) as [D|]; [|discriminate].
  assert (X := extra_least t ltac:(lia)). assert (L := ln_le 1 N ltac:(lra) enough_data). rewrite ln_1 in L.
  assert (least * ln N <= extra t * ln N) by (apply Rmult_le_compat_r; auto).
  assert (Q : INR t * (cost + least * ln N / 2) <= nll 0 - nll t).
  { clear - recruited extra_least enough_data cost_pos least_pos L. assert (forall k, (k <= t)%nat ->
      INR k * (cost + least * ln N / 2) <= nll 0 - nll k) as A; [|apply A; lia].
    induction k as [|k IH]; intros H; [simpl; lra|]. rewrite S_INR.
    assert (R := recruited k ltac:(lia)). unfold recruits, Form.recruitment_price in R.
    destruct (Rlt_dec _ _) as [D|]; [|discriminate]. specialize (IH ltac:(lia)).
    assert (X := extra_least k ltac:(lia)).
    assert (least * ln N <= extra k * ln N) by (apply Rmult_le_compat_r; auto). lra. }
  lra.
Qed.
End Count.

(* At the end no single candidate is worth its price. *)
Theorem recruitment_end {A} (candidates : list A) (drop extra : A -> R) N cost :
  (forall k, In k candidates -> recruits (drop k) (Form.recruitment_price (extra k) N cost) = false) ->
  forall k, In k candidates -> drop k <= Bound.recruitment_end N (extra k) cost.
Proof.
  intros H k Hk. specialize (H k Hk). unfold recruits, Form.recruitment_price in H.
  unfold Bound.recruitment_end. destruct (Rlt_dec _ _); [discriminate|]. apply Rnot_lt_le. auto.
Qed.

(* Pairs may be worth theirs: two parts that explain the data only together. *)
Theorem refuted_nothing_more_helps : exists (nll : bool -> bool -> R) (price : R),
  0 < price /\ (forall a b, 0 <= nll a b) /\
  recruits (nll false false - nll true false) price = false /\
  recruits (nll false false - nll false true) price = false /\
  2 * price < nll false false - nll true true.
Proof.
  exists (fun a b => if andb a b then 0 else 3), 1. unfold recruits. simpl.
  repeat split; try lra; try (destruct (Rlt_dec _ _); auto; lra). intros [|] [|]; simpl; lra.
Qed.

(* Four recruitments that each drop the NLL by 2 at a price of 1. *)
Example recruitment_count_instance : INR 4 <= Bound.recruitment_count 8 1 3 1.
Proof.
  set (nll := fun t => if Nat.leb t 4 then 8 - 2 * INR t else 0).
  assert (E0 : nll 0%nat = 8) by (unfold nll; simpl; lra). rewrite <- E0.
  apply (recruitment_count nll (fun _ => 3) 1 3 1 4); unfold nll; try lra; try (intros; lra).
  - intros t. destruct (Nat.leb t 4) eqn:E; [|lra]. apply Nat.leb_le, le_INR in E. simpl in E. lra.
  - intros t Ht. unfold recruits, Form.recruitment_price. rewrite ln_1.
    assert (E : Nat.leb t 4 = true) by (apply Nat.leb_le; lia). assert (E' : Nat.leb (S t) 4 = true) by (apply Nat.leb_le; lia).
    rewrite E, E', S_INR. destruct (Rlt_dec _ _); auto. lra.
Qed.

Example recruitment_end_instance : forall k, In k [1; 2] -> k / 4 <= Bound.recruitment_end 1 k 1.
Proof.
  apply recruitment_end. intros k [<-|[<-|[]]]; unfold recruits, Form.recruitment_price; rewrite ln_1;
    destruct (Rlt_dec _ _); auto; lra.
Qed.
