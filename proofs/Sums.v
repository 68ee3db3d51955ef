(* Finite sums of real numbers over lists, the mass and the count of a part, and the one inequality
   about pairs on which every concentration bound rests. A part is a boolean predicate. *)

Require Import Reals Lra Psatz List Bool Lia.
Import ListNotations.
Open Scope R_scope.

(* Signs of sums, products, quotients and exponentials of terms whose signs are known. *)
Ltac sign :=
  match goal with
  | |- _ => lra
  | |- 0 < exp _ => apply exp_pos
  | |- 0 <= exp _ => left; apply exp_pos
  | |- 0 <= sqrt _ => apply sqrt_pos
  | |- 0 < ?a * ?b => apply Rmult_lt_0_compat; sign
  | |- 0 <= ?a * ?b => apply Rmult_le_pos; sign
  | |- 0 < / ?a => apply Rinv_0_lt_compat; sign
  | |- 0 <= / ?a => left; apply Rinv_0_lt_compat; sign
  | |- 0 < ?a / ?b => apply Rdiv_lt_0_compat; sign
  | |- 0 <= ?a / ?b => unfold Rdiv; sign
  | |- 0 < ?a ^ ?n => apply pow_lt; sign
  | |- 0 <= ?a ^ ?n => apply pow_le; sign
  | |- 0 < ?a + ?b => apply Rplus_lt_0_compat; sign
  | |- 0 < ?a + ?b => apply Rplus_lt_le_0_compat; sign
  | |- 0 < ?a + ?b => apply Rplus_le_lt_0_compat; sign
  | |- 0 <= ?a + ?b => apply Rplus_le_le_0_compat; sign
  | |- ?a <> 0 => apply Rgt_not_eq; sign
  | |- _ => assumption
  | |- _ => nra
  end.

Lemma nat_above x : exists n, x < INR n.
Proof.
  exists (Z.to_nat (up (Rabs x))). destruct (archimed (Rabs x)) as [H _].
  assert (P := Rabs_pos x). assert (Q := Rle_abs x).
  rewrite INR_IZR_INZ, Z2Nat.id; [lra|]. apply le_IZR. lra.
Qed.

Section Sums.
Context {A : Type}.
Implicit Types (f g : A -> R) (l : list A) (S T : A -> bool).

Fixpoint sum f l : R := match l with [] => 0 | x :: t => f x + sum f t end.

(* How many, as a real number: of all, and of a part. *)
Definition size l : R := INR (length l).
Definition count S l : R := INR (length (filter S l)).

(* What a part holds of a sum. *)
Definition mass S f l : R := sum (fun x => if S x then f x else 0) l.

Definition outside S x : bool := negb (S x).
Definition without S T x : bool := S x && negb (T x).

Lemma sum_ext f g l : (forall x, In x l -> f x = g x) -> sum f l = sum g l.
Proof. induction l; simpl; intros H; auto. rewrite H, IHl; auto. Qed.

Lemma sum_le f g l : (forall x, In x l -> f x <= g x) -> sum f l <= sum g l.
Proof. induction l; simpl; intros H; [lra | apply Rplus_le_compat; auto]. Qed.

Lemma sum_scal c f l : sum (fun x => c * f x) l = c * sum f l.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_scal_r c f l : sum (fun x => f x * c) l = sum f l * c.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_div c f l : sum (fun x => f x / c) l = sum f l / c.
Proof. apply sum_scal_r. Qed.

Lemma sum_plus f g l : sum (fun x => f x + g x) l = sum f l + sum g l.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_minus f g l : sum (fun x => f x - g x) l = sum f l - sum g l.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_opp f l : sum (fun x => - f x) l = - sum f l.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_const c l : sum (fun _ => c) l = size l * c.
Proof.
  unfold size. induction l; [simpl; ring|].
  change (length (a :: l)) with (Datatypes.S (length l)). rewrite S_INR. simpl sum. rewrite IHl. ring.
Qed.

Lemma sum_app f l k : sum f (l ++ k) = sum f l + sum f k.
Proof. induction l; simpl; [|rewrite IHl]; ring. Qed.

Lemma sum_nonneg f l : (forall x, In x l -> 0 <= f x) -> 0 <= sum f l.
Proof. intros H. replace 0 with (sum (fun _ => 0) l) by (rewrite sum_const; ring). apply sum_le, H. Qed.

Lemma sum_term f l : (forall x, In x l -> 0 <= f x) -> forall x, In x l -> f x <= sum f l.
Proof.
  induction l as [|a l IH]; simpl; [tauto|]. intros P x [<-|Hx].
  - assert (0 <= sum f l) by (apply sum_nonneg; auto). lra.
  - assert (f x <= sum f l) by auto. assert (0 <= f a) by auto. lra.
Qed.

Lemma sum_pos f l : (forall x, In x l -> 0 <= f x) -> (exists x, In x l /\ 0 < f x) -> 0 < sum f l.
Proof. intros P [x [Hx Fx]]. assert (H := sum_term f l P x Hx). lra. Qed.

Lemma sum_zero f l : (forall x, In x l -> 0 <= f x) -> sum f l = 0 -> forall x, In x l -> f x = 0.
Proof. intros P E x Hx. assert (H := sum_term f l P x Hx). assert (0 <= f x) by auto. lra. Qed.

Lemma sum_all_zero f l : (forall x, In x l -> f x = 0) -> sum f l = 0.
Proof. intros H. rewrite (sum_ext f (fun _ => 0)) by auto. rewrite sum_const. ring. Qed.

Lemma sum_abs f l : Rabs (sum f l) <= sum (fun x => Rabs (f x)) l.
Proof.
  induction l; simpl; [rewrite Rabs_R0; lra|].
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Lemma least f l : l <> [] -> exists x, In x l /\ forall y, In y l -> f x <= f y.
Proof.
  induction l as [|a l IH]; [congruence|]. intros _. destruct l as [|b l].
  - exists a. simpl. split; auto. intros y [<-|[]]. lra.
  - destruct IH as [x [Hx L]]; [discriminate|]. destruct (Rle_lt_dec (f a) (f x)) as [H|H].
    + exists a. split; [left; auto|]. intros y [<-|Hy]; [lra|]. specialize (L y Hy). lra.
    + exists x. split; [right; auto|]. intros y [<-|Hy]; [lra|]. apply L, Hy.
Qed.

Lemma size_nonneg l : 0 <= size l.
Proof. apply pos_INR. Qed.
Lemma count_nonneg S l : 0 <= count S l.
Proof. apply pos_INR. Qed.

Lemma mass_const S c l : mass S (fun _ => c) l = count S l * c.
Proof.
  unfold mass, count. induction l; [simpl; ring|]. simpl sum. simpl filter. rewrite IHl.
  destruct (S a); [change (length (a :: filter S l)) with (Datatypes.S (length (filter S l))); rewrite S_INR|]; ring.
Qed.

Lemma count_mass S l : count S l = mass S (fun _ => 1) l.
Proof. rewrite mass_const. ring. Qed.
Lemma size_sum l : size l = sum (fun _ => 1) l.
Proof. rewrite sum_const. ring. Qed.

Lemma mass_le S f g l : (forall x, In x l -> S x = true -> f x <= g x) -> mass S f l <= mass S g l.
Proof. intros H. apply sum_le. intros x Hx. destruct (S x) eqn:E; [auto|lra]. Qed.

Lemma mass_ext S f g l : (forall x, In x l -> S x = true -> f x = g x) -> mass S f l = mass S g l.
Proof. intros H. apply sum_ext. intros x Hx. destruct (S x) eqn:E; auto. Qed.

Lemma mass_scal S c f l : mass S (fun x => c * f x) l = c * mass S f l.
Proof. unfold mass. rewrite <- sum_scal. apply sum_ext. intros x _. destruct (S x); ring. Qed.

Lemma mass_div S c f l : mass S (fun x => f x / c) l = mass S f l / c.
Proof. unfold mass. rewrite <- sum_div. apply sum_ext. intros x _. destruct (S x); unfold Rdiv; ring. Qed.

Lemma mass_plus S f g l : mass S (fun x => f x + g x) l = mass S f l + mass S g l.
Proof. unfold mass. rewrite <- sum_plus. apply sum_ext. intros x _. destruct (S x); ring. Qed.

Lemma mass_opp S f l : mass S (fun x => - f x) l = - mass S f l.
Proof. unfold mass. rewrite <- sum_opp. apply sum_ext. intros x _. destruct (S x); ring. Qed.

Lemma mass_nonneg S f l : (forall x, In x l -> S x = true -> 0 <= f x) -> 0 <= mass S f l.
Proof. intros H. replace 0 with (mass S (fun _ => 0) l) by (rewrite mass_const; ring). apply mass_le, H. Qed.

Lemma mass_pos S f l :
  (forall x, In x l -> S x = true -> 0 < f x) -> (exists x, In x l /\ S x = true) -> 0 < mass S f l.
Proof.
  intros P [x [Hx Sx]]. apply sum_pos.
  - intros y Hy. destruct (S y) eqn:E; [apply Rlt_le; auto|lra].
  - exists x. rewrite Sx. auto.
Qed.

Lemma count_pos S l : (exists x, In x l /\ S x = true) -> 0 < count S l.
Proof. intros H. rewrite count_mass. apply mass_pos; [intros; lra|auto]. Qed.

Lemma mass_split S f l : sum f l = mass S f l + mass (outside S) f l.
Proof. unfold mass, outside. rewrite <- sum_plus. apply sum_ext. intros x _. destruct (S x); simpl; ring. Qed.

Lemma mass_part S T f l : (forall x, In x l -> T x = true -> S x = true) ->
  mass S f l = mass T f l + mass (without S T) f l.
Proof.
  intros H. unfold mass, without. rewrite <- sum_plus. apply sum_ext. intros x Hx. assert (K := H x Hx).
  destruct (T x), (S x); simpl; try ring. discriminate K; auto.
Qed.

Lemma count_split S l : size l = count S l + count (outside S) l.
Proof. rewrite size_sum, !count_mass. apply mass_split. Qed.

Lemma count_part S T l : (forall x, In x l -> T x = true -> S x = true) ->
  count S l = count T l + count (without S T) l.
Proof. intros H. rewrite !count_mass. apply mass_part, H. Qed.

(* If every f over T is at most every g over S, so are the means: |S| sum_T f <= |T| sum_S g. *)
Lemma mass_pairs S T f g l :
  (forall a b, In a l -> In b l -> S a = true -> T b = true -> f b <= g a) ->
  count S l * mass T f l <= count T l * mass S g l.
Proof.
  intros H. rewrite <- mass_const, <- mass_scal. apply mass_le. intros a Ha Sa.
  rewrite <- mass_const. apply mass_le. auto.
Qed.
End Sums.

(* A sum with one term. *)
Lemma sum_only {B} (eq_dec : forall b b' : B, {b = b'} + {b <> b'}) (l : list B) b (f : B -> R) :
  NoDup l -> In b l -> (forall b', b' <> b -> f b' = 0) -> sum f l = f b.
Proof.
  induction l as [|a l IH]; [simpl; tauto|]. intros N Hb Z. inversion N as [|? ? Na Nl]; subst. simpl.
  destruct (eq_dec a b) as [->|D].
  - rewrite sum_all_zero; [ring|]. intros x Hx. apply Z. intros ->. auto.
  - destruct Hb as [Hb|Hb]; [congruence|]. rewrite (Z a D), IH; auto. ring.
Qed.

(* Sums over pairs. *)
Lemma sum_prod {A B} (f : A * B -> R) (I : list A) (J : list B) :
  sum f (list_prod I J) = sum (fun i => sum (fun j => f (i, j)) J) I.
Proof.
  induction I as [|i I IH]; simpl; auto. rewrite sum_app, IH. f_equal. clear.
  induction J; simpl; [|rewrite IHJ]; ring.
Qed.

Lemma sum_swap {A B} (f : A -> B -> R) (I : list A) (J : list B) :
  sum (fun i => sum (fun j => f i j) J) I = sum (fun j => sum (fun i => f i j) I) J.
Proof.
  induction I as [|i I IH]; simpl.
  - symmetry. apply sum_all_zero; auto.
  - rewrite IH, <- sum_plus. auto.
Qed.
