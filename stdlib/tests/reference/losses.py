"""Losses by optax and PyTorch, metrics by formulas with numpy and scipy, as losses.npz.

    python losses.py
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.signal
import scipy.stats
import torch
import torch.nn.functional as F

from store import arrays, draw, jax_case, rng, save, torch_case

HERE = os.path.dirname(os.path.abspath(__file__))


def regression():
    y, t = draw(3, 4, scale=2), draw(3, 4)
    jax_case("mse", lambda p, y, t: optax.squared_error(y, t), {}, y, t)
    jax_case("mae", lambda p, y, t: jnp.abs(y - t), {}, y, t)
    jax_case("huber", lambda p, y, t: optax.huber_loss(y, t, delta=0.7), {}, y, t)
    jax_case("log_cosh", lambda p, y, t: optax.log_cosh(y, t), {}, np.append(y, np.float32([0, 60, -60])), np.append(t, np.float32([0, 0, 0])))
    jax_case("relative_l2", lambda p, y, t: jnp.linalg.norm(y - t, axis=1) / jnp.linalg.norm(t, axis=1), {}, y, t)


def classification():
    scores, labels = draw(2, 3, 5, scale=3), rng.integers(0, 5, (2, 3)).astype(np.int32)
    jax_case("cross_entropy", lambda p, s, l: optax.softmax_cross_entropy_with_integer_labels(s, l), {}, scores, labels)
    smoothed = lambda p, s, l: optax.softmax_cross_entropy(s, optax.smooth_labels(jax.nn.one_hot(l, 5), 0.2))
    jax_case("cross_entropy_smoothed", smoothed, {}, scores, labels)
    q = rng.dirichlet(np.ones(5), (2, 3)).astype(np.float32)
    jax_case("cross_entropy_soft", lambda p, s, q: optax.softmax_cross_entropy(s, q), {}, scores, q)
    logits, targets = draw(8, scale=4), (rng.random(8) < 0.5).astype(np.float32)
    jax_case("binary_cross_entropy", lambda p, s, t: optax.sigmoid_binary_cross_entropy(s, t), {}, logits, targets)
    for name, alpha, gamma in (("focal", None, 2.0), ("focal_alpha", 0.25, 1.5)):
        focal = lambda p, s, t: optax.sigmoid_focal_loss(s, t.astype(s.dtype), alpha=alpha, gamma=gamma)
        jax_case(name, focal, {}, logits, targets.astype(np.int32))
    kl = lambda p, s, q: optax.kl_divergence(jax.nn.log_softmax(s), q)
    jax_case("kl_divergence", kl, {}, scores, q)
    signs = (targets * 2 - 1).astype(np.float32)
    jax_case("hinge", lambda p, s, t: optax.hinge_loss(s, t), {}, logits, signs)


def similarity():
    a, b = draw(4, 6), draw(4, 6)
    jax_case("cosine", lambda p, a, b: optax.cosine_distance(a, b), {}, a, b)

    def info_nce(p, a, b):
        s = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.2
        return F.cross_entropy(s, torch.arange(4), reduction="none")

    torch_case("info_nce", info_nce, {}, a, b)


def ctc():
    scores = draw(3, 7, 4, scale=2)
    labels = np.array([[1, 2, 2], [3, 1, 0], [2, 0, 0]], np.int32)
    times, lengths = np.array([7, 5, 6], np.int32), np.array([3, 2, 0], np.int32)
    pads = lambda n, size: jnp.asarray(np.arange(size)[None] >= n[:, None], jnp.float64)
    by_optax = lambda p, s, l, t, n: optax.ctc_loss(s, pads(times, 7), l, pads(lengths, 3), log_epsilon=-1e30)
    jax_case("ctc", by_optax, {}, scores, labels, times, lengths)

    def by_torch(p, s, l, t, n):
        return F.ctc_loss(s.log_softmax(-1).swapaxes(0, 1), l.long(), t.long(), n.long(), reduction="none")

    torch_case("ctc_torch", by_torch, {}, scores, labels, times, lengths)


def value(name, y, *inputs):
    """A metric: no gradients."""
    arrays[name + "/y"] = np.asarray(y, np.float32) if np.asarray(y).dtype != np.int32 else y
    for i, a in enumerate(inputs):
        arrays[f"{name}/x/{i}"] = np.array(a)  # a copy


def metrics():
    scores, labels = draw(40, 5), rng.integers(0, 5, 40).astype(np.int32)
    order = np.argsort(-scores, axis=1, kind="stable")
    value("accuracy", np.mean(order[:, 0] == labels), scores, labels)
    value("top_k_accuracy", np.mean([l in row for row, l in zip(order[:, :3], labels)]), scores, labels)
    predicted = np.where(rng.random(40) < 0.6, labels, rng.integers(0, 4, 40)).astype(np.int32)
    labels[labels == 2] = 1  # a class without examples
    predicted[predicted == 3] = 0  # and one that is never predicted
    confusion = np.zeros((5, 5), np.int32)
    for p, l in zip(predicted, labels):
        confusion[l, p] += 1
    value("confusion_matrix", confusion, predicted, labels)
    right, taken, there = [], [], []
    for c in range(5):
        right.append(sum((p == c) and (l == c) for p, l in zip(predicted, labels)))
        taken.append(sum(p == c for p in predicted))
        there.append(sum(l == c for l in labels))
    over = lambda a, b: a / b if b else 0.0
    precision, recall = [over(r, t) for r, t in zip(right, taken)], [over(r, t) for r, t in zip(right, there)]
    value("precision", precision, confusion)
    value("recall", recall, confusion)
    value("f1", [over(2 * p * r, p + r) for p, r in zip(precision, recall)], confusion)
    y, t = draw(20), draw(20)
    value("rmse", np.sqrt(np.mean((y.astype(np.float64) - t) ** 2)), y, t)
    value("r2", 1 - np.sum((y.astype(np.float64) - t) ** 2) / np.sum((t - t.astype(np.float64).mean()) ** 2), y, t)
    s, l = np.round(draw(50), 1), (rng.random(50) < 0.4).astype(np.int32)
    u = scipy.stats.mannwhitneyu(s[l == 1], s[l == 0]).statistic
    value("roc_auc", u / (l.sum() * (1 - l).sum()), s, l)

    a = rng.random((2, 16, 14, 2)).astype(np.float32)
    b = np.clip(a + draw(2, 16, 14, 2, scale=0.1), 0, 1).astype(np.float32)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    value("psnr", [10 * np.log10(4 / np.mean((p - q) ** 2)) for p, q in zip(wide_a, wide_b)], a, b)
    i = np.arange(11) - 5
    window = np.exp(-(i[:, None] ** 2 + i[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def ssim(x, y, range_):
        blur = lambda z: scipy.signal.correlate2d(z, window, mode="valid")
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        c1, c2 = (0.01 * range_) ** 2, (0.03 * range_) ** 2
        return np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))

    value("ssim", [np.mean([ssim(p[..., c], q[..., c], 1.0) for c in range(2)]) for p, q in zip(wide_a, wide_b)], a, b)


for part in (regression, classification, similarity, ctc, metrics):
    part()
save(os.path.join(HERE, "losses.npz"))
