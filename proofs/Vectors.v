(* Vectors as functions on a finite list of coordinates: inner product, Euclidean norm, Cauchy-Schwarz, triangle
   inequality. A matrix is a vector on pairs, so that its norm is the Frobenius norm. *)

Require Import Reals Lra Psatz List FunctionalExtensionality.
From Localist Require Import Sums.
Import ListNotations.
Open Scope R_scope.

Section Norm.
Context {A : Type} (I : list A).
Implicit Types (u v w : A -> R).

Definition dot u v : R := sum (fun i => u i * v i) I.
Definition norm v : R := sqrt (dot v v).
Definition is_zero v : Prop := forall i, In i I -> v i = 0.

Lemma dot_ext u v u' v' : (forall i, In i I -> u i = u' i) -> (forall i, In i I -> v i = v' i) ->
  dot u v = dot u' v'.
Proof. intros H K. apply sum_ext. intros i Hi. rewrite H, K; auto. Qed.
Lemma norm_ext u v : (forall i, In i I -> u i = v i) -> norm u = norm v.
Proof. intros H. unfold norm. f_equal. apply dot_ext; auto. Qed.

Lemma dot_comm u v : dot u v = dot v u.
Proof. apply sum_ext. intros. ring. Qed.
Lemma dot_plus_l u v w : dot (fun i => u i + v i) w = dot u w + dot v w.
Proof. unfold dot. rewrite <- sum_plus. apply sum_ext. intros. ring. Qed.
Lemma dot_minus_l u v w : dot (fun i => u i - v i) w = dot u w - dot v w.
Proof. unfold dot. rewrite <- sum_minus. apply sum_ext. intros. ring. Qed.
Lemma dot_scal_l c u w : dot (fun i => c * u i) w = c * dot u w.
Proof. unfold dot. rewrite <- sum_scal. apply sum_ext. intros. ring. Qed.
Lemma dot_plus_r u v w : dot w (fun i => u i + v i) = dot w u + dot w v.
Proof. rewrite dot_comm, dot_plus_l, !(dot_comm w). auto. Qed.
Lemma dot_minus_r u v w : dot w (fun i => u i - v i) = dot w u - dot w v.
Proof. rewrite dot_comm, dot_minus_l, !(dot_comm w). auto. Qed.
Lemma dot_scal_r c u w : dot w (fun i => c * u i) = c * dot w u.
Proof. rewrite dot_comm, dot_scal_l, (dot_comm w). auto. Qed.

(* A sum of vectors, coordinate by coordinate. *)
Lemma dot_sum_r {B} u (f : B -> A -> R) (l : list B) :
  dot u (fun i => sum (fun b => f b i) l) = sum (fun b => dot u (f b)) l.
Proof.
  unfold dot. rewrite (sum_swap (fun b i => u i * f b i) l I). apply sum_ext. intros i _.
  symmetry. apply sum_scal.
Qed.

Lemma dot_self v : 0 <= dot v v.
Proof. apply sum_nonneg. intros. nra. Qed.
Lemma norm_nonneg v : 0 <= norm v.
Proof. apply sqrt_pos. Qed.
Lemma norm_sq v : norm v * norm v = dot v v.
Proof. apply sqrt_sqrt, dot_self. Qed.

Lemma norm_zero v : norm v = 0 <-> is_zero v.
Proof.
  split; intros H.
  - intros i Hi. assert (E : dot v v = 0) by (rewrite <- norm_sq, H; ring).
    assert (v i * v i = 0) by (apply (sum_zero (fun i => v i * v i) I); auto; intros; nra). nra.
  - unfold norm. replace (dot v v) with 0; [apply sqrt_0|]. symmetry. apply sum_all_zero.
    intros i Hi. rewrite (H i Hi). ring.
Qed.
Lemma norm_null : norm (fun _ => 0) = 0.
Proof. apply norm_zero. intros i _. auto. Qed.
Lemma norm_pos v : ~ is_zero v -> 0 < norm v.
Proof. intros H. destruct (norm_nonneg v) as [|E]; auto. destruct H. apply norm_zero. auto. Qed.

Lemma dot_sq_minus u v : dot (fun i => u i - v i) (fun i => u i - v i) = dot u u - 2 * dot u v + dot v v.
Proof. rewrite dot_minus_l, !dot_minus_r, (dot_comm v u). ring. Qed.

Lemma cauchy_schwarz u v : dot u v <= norm u * norm v.
Proof.
  assert (Hu := norm_nonneg u). assert (Hv := norm_nonneg v).
  assert (H := dot_self (fun i => norm v * u i - norm u * v i)). rewrite dot_sq_minus in H.
  rewrite !dot_scal_l, !dot_scal_r, <- !norm_sq in H.
  destruct Hu as [Hu|Eu], Hv as [Hv|Ev].
  - assert (0 < norm u * norm v) by nra. nra.
  - assert (Z := proj1 (norm_zero v) (eq_sym Ev)). rewrite <- Ev, Rmult_0_r.
    right. apply sum_all_zero. intros i Hi. rewrite (Z i Hi). ring.
  - assert (Z := proj1 (norm_zero u) (eq_sym Eu)). rewrite <- Eu, Rmult_0_l.
    right. apply sum_all_zero. intros i Hi. rewrite (Z i Hi). ring.
  - assert (Z := proj1 (norm_zero u) (eq_sym Eu)). rewrite <- Eu, Rmult_0_l.
    right. apply sum_all_zero. intros i Hi. rewrite (Z i Hi). ring.
Qed.

Lemma norm_scal c v : norm (fun i => c * v i) = Rabs c * norm v.
Proof.
  unfold norm. rewrite dot_scal_l, dot_scal_r, <- Rmult_assoc, sqrt_mult.
  - f_equal. apply sqrt_Rsqr_abs.
  - apply Rle_0_sqr.
  - apply dot_self.
Qed.
Lemma norm_opp v : norm (fun i => - v i) = norm v.
Proof.
  rewrite (norm_ext _ (fun i => -1 * v i)) by (intros; ring). rewrite norm_scal, Rabs_left by lra. ring.
Qed.

Lemma cauchy_schwarz_abs u v : Rabs (dot u v) <= norm u * norm v.
Proof.
  apply Rabs_le. split; [|apply cauchy_schwarz].
  assert (H := cauchy_schwarz (fun i => -1 * u i) v). rewrite dot_scal_l, norm_scal, Rabs_left in H by lra. lra.
Qed.

Lemma norm_le v c : 0 <= c -> dot v v <= c * c -> norm v <= c.
Proof. intros Hc H. rewrite <- norm_sq in H. assert (N := norm_nonneg v). nra. Qed.

Lemma triangle u v : norm (fun i => u i + v i) <= norm u + norm v.
Proof.
  assert (Hu := norm_nonneg u). assert (Hv := norm_nonneg v). apply norm_le; [lra|].
  rewrite dot_plus_l, !dot_plus_r, (dot_comm v u), <- !norm_sq. assert (C := cauchy_schwarz u v). nra.
Qed.
Lemma triangle_minus u v : norm (fun i => u i - v i) <= norm u + norm v.
Proof.
  rewrite <- (norm_opp v). rewrite (norm_ext _ (fun i => u i + - v i)) by (intros; ring). apply triangle.
Qed.
(* ||u|| - ||v|| is at most ||u - v|| in size. *)
Lemma triangle_reverse u v : Rabs (norm u - norm v) <= norm (fun i => u i - v i).
Proof.
  assert (H := triangle (fun i => u i - v i) v). assert (K := triangle (fun i => v i - u i) u).
  rewrite (norm_ext _ u) in H by (intros; ring). rewrite (norm_ext _ v) in K by (intros; ring).
  rewrite (norm_ext (fun i => v i - u i) (fun i => - (u i - v i))), norm_opp in K by (intros; ring).
  apply Rabs_le. lra.
Qed.

Lemma norm_sum {B} (f : B -> A -> R) (l : list B) :
  norm (fun i => sum (fun b => f b i) l) <= sum (fun b => norm (f b)) l.
Proof.
  induction l; simpl; [rewrite norm_null; lra|]. apply Rle_trans with (1 := triangle _ _). lra.
Qed.

(* The norm is the largest inner product with a unit vector; it is enough to bound those. *)
Lemma norm_by_dual v c : 0 <= c -> (forall d, norm d <= 1 -> dot v d <= c) -> norm v <= c.
Proof.
  intros Hc H. destruct (norm_nonneg v) as [N|E]; [|lra].
  specialize (H (fun i => / norm v * v i)). rewrite dot_scal_r, norm_scal, <- norm_sq in H.
  assert (0 < / norm v) by (apply Rinv_0_lt_compat; auto). rewrite Rabs_right in H by lra.
  rewrite Rinv_l in H by lra. replace (/ norm v * (norm v * norm v)) with (norm v) in H by (field; lra).
  apply H. lra.
Qed.
End Norm.

(* Matrices: vectors on pairs. *)
Lemma norm_rank_one {A B} (I : list A) (J : list B) (u : A -> R) (v : B -> R) :
  norm (list_prod I J) (fun p => u (fst p) * v (snd p)) = norm I u * norm J v.
Proof.
  unfold norm. rewrite <- sqrt_mult by apply dot_self. f_equal.
  unfold dot. rewrite sum_prod, <- sum_scal_r. apply sum_ext. intros i _. simpl.
  rewrite <- sum_scal. apply sum_ext. intros. ring.
Qed.

(* One coordinate. *)
Lemma norm_one (x : unit -> R) : norm [tt] x = Rabs (x tt).
Proof. unfold norm, dot. simpl. rewrite Rplus_0_r. apply sqrt_Rsqr_abs. Qed.
