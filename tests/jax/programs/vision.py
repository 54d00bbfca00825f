"""Networks on images."""
import jax
import jax.numpy as jnp
from jax import lax

from . import program

NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x, w, stride=1, padding="SAME", **kw):
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=NHWC, **kw)


def batch_norm(x, p, stats, train):
    if train:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        stats = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, stats, {"mean": mean, "var": var})
    else:
        mean, var = stats["mean"], stats["var"]
    return (x - mean) * lax.rsqrt(var + 1e-5) * p["scale"] + p["bias"], stats


def bn_params(n):
    return {"scale": jnp.ones(n), "bias": jnp.zeros(n)}, {"mean": jnp.zeros(n) + 0.1, "var": jnp.ones(n) * 1.5}


def resnet_params(g, widths=(8, 16)):
    p, s, c = {"stem": g.w(3, 3, 3, widths[0])}, {}, widths[0]
    for i, w in enumerate(widths):
        for j, (k, a, b) in enumerate([(3, c, w), (3, w, w), (1, c, w)]):
            p[f"conv{i}{j}"] = g.w(k, k, a, b)
            p[f"bn{i}{j}"], s[f"bn{i}{j}"] = bn_params(b)
        c = w
    p["head"] = g.w(c, 5)
    return p, s


def resnet(p, s, x, train):
    new, h = {}, conv(x, p["stem"])
    for i in range(2):
        stride = 1 + (i > 0)
        y, new[f"bn{i}0"] = batch_norm(conv(h, p[f"conv{i}0"], stride), p[f"bn{i}0"], s[f"bn{i}0"], train)
        y, new[f"bn{i}1"] = batch_norm(conv(jax.nn.relu(y), p[f"conv{i}1"]), p[f"bn{i}1"], s[f"bn{i}1"], train)
        h, new[f"bn{i}2"] = batch_norm(conv(h, p[f"conv{i}2"], stride), p[f"bn{i}2"], s[f"bn{i}2"], train)
        h = jax.nn.relu(h + y)
    return h.mean((1, 2)) @ p["head"], new


@program(lambda g: (*resnet_params(g), g.f(4, 8, 8, 3)))
def resnet_eval(p, s, x):
    return jax.nn.softmax(resnet(p, s, x, False)[0])


@program(lambda g: (*resnet_params(g), g.f(4, 8, 8, 3), g.i(5, 4)), donate_argnums=(0, 1))
def resnet_train(p, s, x, y):
    def loss(p):
        logits, new = resnet(p, s, x, True)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), y]), new

    (value, new), grads = jax.value_and_grad(loss, has_aux=True)(p)
    return value, jax.tree.map(lambda p, g: p - 0.1 * g, p, grads), new


@program(lambda g: (g.f(2, 9, 9, 6), g.w(3, 3, 1, 12), g.w(3, 3, 2, 9), g.w(3, 3, 6, 4), g.w(4, 4, 5, 6)))
def convolutions(x, depthwise, grouped, dilated, transposed):
    def f(x, depthwise, grouped, dilated, transposed):
        a = conv(x, depthwise, 2, feature_group_count=6)
        b = conv(x, grouped, 1, "VALID", feature_group_count=3)
        c = conv(x, dilated, 1, rhs_dilation=(2, 3))
        d = lax.conv_transpose(x, transposed, (2, 2), "SAME", dimension_numbers=NHWC, transpose_kernel=True)
        return a, b, c, d

    outs = f(x, depthwise, grouped, dilated, transposed)
    grads = jax.grad(lambda *a: sum((y**2).mean() for y in f(*a)), (0, 1, 2, 3, 4))(x, depthwise, grouped, dilated, transposed)
    return outs, grads


@program(lambda g: (g.f(2, 11, 4), g.w(3, 4, 6), g.f(1, 2, 5, 5, 5), g.w(4, 2, 2, 3, 3), g.f(2, 3, 7, 7), g.w(6, 3, 3, 2)))
def convolutions_of_other_ranks(x, w, vol, k3, img, k2):
    causal = lax.conv_general_dilated(x, w, (1,), [(4, 0)], rhs_dilation=(2,), dimension_numbers=("NWC", "WIO", "NWC"))
    volume = lax.conv(vol, k3, (1, 2, 2), "SAME")
    precise = lax.conv_general_dilated(img, k2, (2, 1), ((1, 0), (2, 1)), precision=lax.Precision.HIGHEST)
    patches = lax.conv_general_dilated_patches(img, (2, 2), (2, 2), "VALID")
    groups = lax.conv_general_dilated(img[:, :2], jnp.concatenate([k2[:, :2]] * 1), (1, 1), "SAME", batch_group_count=2)
    return causal, jax.nn.gelu(volume), precise, patches, groups


def unet_params(g):
    shapes = {"d0": (3, 3, 2, 8), "d1": (3, 3, 8, 12), "mid": (3, 3, 12, 12), "u1": (3, 3, 24, 8), "u0": (3, 3, 16, 8), "out": (1, 1, 8, 2)}
    return {k: g.w(*s) for k, s in shapes.items()}


def unet(p, x, t, method):
    act = lambda h: jax.nn.silu(h + jnp.sin(t)[:, None, None, None])
    a = act(conv(x, p["d0"]))
    b = act(conv(a, p["d1"], 2))
    m = act(conv(lax.reduce_window(b, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME"), p["mid"]))
    m = jax.image.resize(m, b.shape[:3] + m.shape[3:], method)
    h = act(conv(jnp.concatenate([m, b], -1), p["u1"]))
    h = jax.image.resize(h, a.shape[:3] + h.shape[3:], method)
    return conv(act(conv(jnp.concatenate([h, a], -1), p["u0"])), p["out"])


@program(lambda g: (unet_params(g), g.f(2, 8, 8, 2), g.u(2)))
def unet_bilinear_gradient(p, x, t):
    return jax.value_and_grad(lambda p: jnp.mean((unet(p, x, t, "bilinear") - x) ** 2))(p)


@program(lambda g: (unet_params(g), g.f(2, 8, 8, 2), g.u(2)))
def unet_cubic(p, x, t):
    return unet(p, x, t, "cubic")


@program(lambda g: (unet_params(g), g.f(2, 8, 8, 2), g.u(2)))
def unet_nearest(p, x, t):
    return unet(p, x, t, "nearest")


@program(lambda g: (g.f(9, 7, 3),))
def image_resizing(x):
    grow = [jax.image.resize(x, (13, 11, 3), m) for m in ("bilinear", "lanczos3", "lanczos5", "cubic", "nearest")]
    shrink = [jax.image.resize(x, (4, 5, 3), m, antialias=a) for m in ("bilinear", "cubic") for a in (True, False)]
    moved = jax.image.scale_and_translate(x, (8, 8, 3), (0, 1), jnp.array([1.3, 0.7]), jnp.array([-0.4, 1.2]), "linear")
    slope = jax.grad(lambda x: jnp.sum(jax.image.resize(x, (6, 12, 3), "cubic") ** 2))(x)
    return grow, shrink, moved, slope


@program(lambda g: (g.f(10, 12), g.u(2, 5, 6, low=-2.0, high=13.0)))
def warping(image, at):
    sample = lambda mode, order: jax.scipy.ndimage.map_coordinates(image, list(at), order, mode=mode, cval=0.5)
    warped = [sample(mode, order) for mode in ("constant", "nearest", "wrap", "mirror", "reflect") for order in (0, 1)]
    return warped, jax.grad(lambda x: (jax.scipy.ndimage.map_coordinates(x, list(at), 1) ** 2).sum())(image)


@program(lambda g: (g.f(2, 3, 8, 8),))
def pooling(x):
    window = lambda init, op, size, stride, pad: lax.reduce_window(x, init, op, (1, 1, size, size), (1, 1, stride, stride), pad)
    f = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    g = lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 1, 3, 3), (1, 1, 2, 2), "SAME") / 9
    grads = [jax.grad(lambda x: (h(x) ** 2).sum())(x) for h in (f, g)]
    return window(jnp.inf, lax.min, 2, 2, "VALID"), window(1.0, lax.mul, 2, 1, "SAME"), f(x), g(x), grads


@program(lambda g: ({"expand": g.w(1, 1, 6, 24), "deep": g.w(3, 3, 1, 24), "down": g.w(24, 6), "up": g.w(6, 24), "out": g.w(1, 1, 24, 6)}, g.f(2, 7, 7, 6)))
def mobile_block(p, x):
    def f(p, x):
        h = jax.nn.hard_swish(conv(x, p["expand"]))
        h = jax.nn.relu6(conv(h, p["deep"], feature_group_count=24))
        gate = jax.nn.hard_sigmoid(jax.nn.relu(h.mean((1, 2)) @ p["down"]) @ p["up"])
        return x + conv(h * gate[:, None, None], p["out"])

    return f(p, x), jax.grad(lambda p: f(p, x).std())(p)


@program(lambda g: (g.f(2, 6, 6, 8), g.w(3, 3, 8, 8)))
def normalisations(x, w):
    def group(x, n):
        y = x.reshape(*x.shape[:3], n, -1)
        return jax.nn.standardize(y, (1, 2, 4)).reshape(x.shape)

    layer = jax.nn.standardize(x, -1, epsilon=1e-6)
    instance = (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-3)
    rms = x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)
    unit = (w - w.mean((0, 1, 2))) / (w.std((0, 1, 2)) + 1e-5)
    spectral = w.reshape(-1, 8) / jnp.linalg.norm(w.reshape(-1, 8), 2)
    local = x / (1.0 + 0.1 * lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 1, 5), (1, 1, 1, 1), "SAME")) ** 0.75
    return group(x, 4), layer, instance, rms, conv(x, unit), spectral, local


@program(lambda g: ({"patch": g.w(4, 4, 3, 16), "pos": g.f(5, 16), "cls": g.f(16), "qkv": g.w(16, 48), "o": g.w(16, 16), "m1": g.w(16, 32), "m2": g.w(32, 16), "head": g.w(16, 3)}, g.f(2, 8, 8, 3)))
def vision_transformer(p, x):
    h = conv(x, p["patch"], 4, "VALID").reshape(2, 4, 16)
    h = jnp.concatenate([jnp.broadcast_to(p["cls"], (2, 1, 16)), h], 1) + p["pos"]
    q, k, v = jnp.split(jax.nn.standardize(h) @ p["qkv"], 3, -1)
    heads = lambda t: t.reshape(2, 5, 4, 4)
    att = jax.nn.dot_product_attention(heads(q), heads(k), heads(v)).reshape(2, 5, 16)
    h = h + att @ p["o"]
    h = h + jax.nn.gelu(jax.nn.standardize(h) @ p["m1"], approximate=False) @ p["m2"]
    return h[:, 0] @ p["head"]


@program(lambda g: (g.u(12, 2, high=8.0), g.u(12, 2, low=0.5, high=4.0), g.u(12)))
def non_maximum_suppression(corner, size, scores):
    order = jnp.argsort(-scores)
    low, high = corner[order], (corner + size)[order]
    both = jnp.clip(jnp.minimum(high[:, None], high) - jnp.maximum(low[:, None], low), 0).prod(-1)
    area = (high - low).prod(-1)
    iou = both / (area[:, None] + area - both)

    def step(i, keep):
        return jnp.where(keep[i], keep & ~((iou[i] > 0.2) & (jnp.arange(12) > i)), keep)

    keep = lax.fori_loop(0, 12, step, jnp.ones(12, bool))
    return order, keep, jnp.where(keep, scores[order], -1.0)


@program(lambda g: ({"e": g.w(64, 12), "mu": g.w(12, 3), "lv": g.w(12, 3), "d": g.w(3, 12), "o": g.w(12, 64)}, g.u(5, 64), g.key(4)))
def variational_autoencoder(p, x, key):
    def loss(p):
        h = jnp.tanh(x @ p["e"])
        mu, log_var = h @ p["mu"], h @ p["lv"]
        z = mu + jnp.exp(0.5 * log_var) * jax.random.normal(key, mu.shape)
        logits = jnp.tanh(z @ p["d"]) @ p["o"]
        nll = -(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits)).sum(-1)
        return (nll - 0.5 * (1 + log_var - mu**2 - jnp.exp(log_var)).sum(-1)).mean()

    return jax.value_and_grad(loss)(p)


@program(lambda g: (g.w(3, 3, 1, 6), g.w(3, 3, 6, 1), g.key(11)))
def diffusion_sampling(w1, w2, key):
    betas = jnp.linspace(1e-3, 0.2, 10)
    alphas = jnp.cumprod(1 - betas)

    def step(carry, t):
        x, key = carry
        key, sub = jax.random.split(key)
        eps = conv(jax.nn.silu(conv(x, w1) + t / 10.0), w2)
        mean = (x - betas[t] / jnp.sqrt(1 - alphas[t]) * eps) / jnp.sqrt(1 - betas[t])
        return (mean + jnp.where(t > 0, jnp.sqrt(betas[t]), 0.0) * jax.random.normal(sub, x.shape), key), x.mean()

    key, sub = jax.random.split(key)
    (x, _), means = lax.scan(step, (jax.random.normal(sub, (1, 6, 6, 1)), key), jnp.arange(10)[::-1])
    return x, means


@program(lambda g: (g.w(3, 3, 3, 4, dtype="float16"), g.f(1, 6, 6, 3, dtype="float16"), g.w(3, 3, 3, 4, dtype="bfloat16"), g.f(1, 6, 6, 3, dtype="bfloat16")))
def halves_convolved(w, x, wb, xb):
    y = lax.conv_general_dilated(xb, wb, (1, 1), "SAME", dimension_numbers=NHWC, preferred_element_type=jnp.float32)
    return conv(x, w), conv(xb, wb), y, jax.grad(lambda w: conv(x, w).astype(jnp.float32).sum())(w)
