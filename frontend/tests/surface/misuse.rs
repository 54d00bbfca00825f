//! Every public function on operands it has no meaning for: each error names the function, shows a dtype or a shape, and
//! points at the line of the call; nothing panics.

use gradloom_frontend::prelude::*;
use gradloom_frontend::{Error, ErrorKind, Side, Tensor, conv_general, fft::Fft, segment_sum};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

type Call = Box<dyn Fn(&Tensor) -> Vec<Tensor>>;

/// A function, the line it is called on, and the names its errors may carry beside its own: those of the ops it is made of.
struct Row {
    name: &'static str,
    line: u32,
    inner: &'static [&'static str],
    call: Call,
}

/// Several results, to be read one by one.
trait Results {
    fn all(self) -> Vec<Tensor>;
}

impl Results for Tensor {
    fn all(self) -> Vec<Tensor> {
        vec![self]
    }
}

impl Results for Vec<Tensor> {
    fn all(self) -> Vec<Tensor> {
        self
    }
}

impl Results for (Tensor, Tensor) {
    fn all(self) -> Vec<Tensor> {
        vec![self.0, self.1]
    }
}

impl Results for (Tensor, Tensor, Tensor) {
    fn all(self) -> Vec<Tensor> {
        vec![self.0, self.1, self.2]
    }
}

/// The call stands on the line of the row.
#[track_caller]
fn row<R: Results>(name: &'static str, call: impl Fn(&Tensor) -> R + 'static) -> Row {
    Row { name, line: Location::caller().line(), inner: &[], call: Box::new(move |x| call(x).all()) }
}

impl Row {
    fn or(mut self, inner: &'static [&'static str]) -> Row {
        self.inner = inner;
        self
    }
}

fn zeros(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::full(shape, 0, dtype)
}

/// Operands of every kind that some function refuses.
fn operands() -> Vec<Tensor> {
    let shapes: [&[usize]; 6] = [&[], &[3], &[2, 3], &[2, 2], &[0, 2], &[2, 1, 3]];
    let dtypes = [DType::Bool, DType::I32, DType::U8, DType::F16, DType::F32, DType::C64];
    shapes.iter().flat_map(|s| dtypes.iter().map(|&d| zeros(s, d))).collect()
}

fn fault(row: &Row, x: &Tensor, e: &Error) -> Option<String> {
    let text = e.to_string();
    // of an op with a kind, such as `reduce max`, the first word
    let op = e.op().split(' ').next().unwrap_or_default();
    let named = op == row.name || row.inner.contains(&op);
    let here = text.contains(&format!("misuse.rs:{}", row.line));
    let shape = format!("{:?}", x.shape()).replace(' ', "");
    let shown = text.contains(x.dtype().name()) || text.contains(&shape) || text.contains(&format!("{:?}", x.shape()));
    // or the number that is wrong
    let shown = shown || e.message().contains(|c: char| c.is_ascii_digit());
    let ours = e.kind() == ErrorKind::Internal;
    let lines = e.message().lines().count();
    (!named || !here || !shown || ours || lines != 1)
        .then(|| format!("{} on {}[{shape}], line {}: {text}", row.name, x.dtype(), row.line))
}

#[track_caller]
fn check(rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for row in &rows {
        let mut refused = 0;
        for x in operands() {
            let read = || -> Vec<Result<Vec<f64>, Error>> {
                (row.call)(&x).iter().map(|y| y.check().and_then(|()| parts(y).to_f64_vec())).collect()
            };
            match catch_unwind(AssertUnwindSafe(read)) {
                Ok(results) => {
                    let refusals: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
                    refused += refusals.len();
                    wrong.extend(refusals.iter().filter_map(|e| fault(row, &x, e)));
                    // and so when it is traced
                    if !refusals.is_empty()
                        && let Err(e) = jit(|x: &Tensor| (row.call)(x)).call(&x)
                    {
                        wrong.extend(fault(row, &x, &e).map(|text| format!("traced: {text}")));
                    }
                }
                Err(_) => wrong.push(format!("{} panics on {}{:?}", row.name, x.dtype(), x.shape())),
            }
        }
        if refused == 0 {
            wrong.push(format!("{} takes everything", row.name));
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

fn parts(x: &Tensor) -> Tensor {
    if x.dtype().is_complex() { x.real() } else { x.clone() }
}

fn square() -> Tensor {
    Tensor::eye(2)
}

#[test]
fn linear_algebra() {
    use linalg::*;
    check(vec![
        row("cholesky", |x| cholesky(x)),
        row("cholesky_upper", |x| cholesky_upper(x)).or(&["cholesky"]),
        row("qr", |x| qr(x)),
        row("qr_full", |x| qr_full(x)).or(&["qr"]),
        row("lu", |x| lu(x)),
        row("lu_factor", |x| lu_factor(x)).or(&["lu"]),
        row("svd", |x| svd(x)),
        row("svd_full", |x| svd_full(x)).or(&["svd"]),
        row("svdvals", |x| svdvals(x)).or(&["svd"]),
        row("eigh", |x| eigh(x)),
        row("eigvalsh", |x| eigvalsh(x)).or(&["eigh"]),
        row("eig", |x| eig(x)),
        row("eigvals", |x| eigvals(x)).or(&["eig"]),
        row("slogdet", |x| slogdet(x)).or(&["lu"]),
        row("logdet_spd", |x| logdet_spd(x)).or(&["cholesky"]),
        row("det", |x| det(x)).or(&["lu"]),
        row("expm", |x| expm(x)).or(&["lu"]),
        row("logm_spd", |x| logm_spd(x)).or(&["spd_function", "eigh"]),
        row("powm_spd", |x| powm_spd(x, 0.5)).or(&["spd_function", "eigh"]),
        row("sqrtm_spd", |x| sqrtm_spd(x)).or(&["eigh"]),
        row("inv_sqrtm_spd", |x| inv_sqrtm_spd(x)).or(&["spd_function", "eigh"]),
        row("spd_function", |x| spd_function(x, |w| w.exp())).or(&["eigh"]),
        row("solve_lyapunov_spd", |x| solve_lyapunov_spd(x, &square())).or(&["eigh"]),
        row("solve_sylvester_spd", |x| solve_sylvester_spd(x, &square(), &square())).or(&["eigh"]),
        row("solve_sylvester", |x| solve_sylvester(x, &square(), &square())).or(&["eig"]),
        row("matrix_norm", |x| matrix_norm(x, MatrixNorm::Nuclear)).or(&["svd"]),
        row("vector_norm", |x| vector_norm(x, 2.0, 1)),
        row("condition_number", |x| condition_number(x)).or(&["svd"]),
        row("matrix_rank", |x| matrix_rank(x)).or(&["svd"]),
        row("trace", |x| trace(x)).or(&["sum"]),
        row("matrix_power", |x| matrix_power(x, -3)).or(&["lu"]),
        row("multi_dot", |x| multi_dot(&[x, &square()])).or(&["matmul"]),
        row("kron", |x| kron(x, &square())),
        row("block_diag", |x| block_diag(&[x, &square()])),
        row("solve", |x| solve(x, &Tensor::zeros([2]))).or(&["lu"]),
        row("solve", |x| solve(&square(), x)).or(&["lu_solve"]),
        row("inv", |x| inv(x)).or(&["lu"]),
        row("pinv", |x| pinv(x)),
        row("lstsq", |x| lstsq(x, &Tensor::zeros([2]))).or(&["pinv"]),
        row("lstsq", |x| lstsq(&square(), x)).or(&["pinv"]),
        row("solve_spd", |x| solve_spd(x, &Tensor::zeros([2]))).or(&["cho_solve", "cholesky"]),
        row("solve_spd", |x| solve_spd(&square(), x)).or(&["cho_solve"]),
        row("cho_solve", |x| cho_solve(x, &Tensor::zeros([2]))).or(&["triangular_solve"]),
        row("lu_solve", |x| lu_solve(x, &Tensor::arange(2), &Tensor::zeros([2]))),
        row("lu_solve", |x| lu_solve(&square(), x, &Tensor::zeros([2]))),
        row("triangular_solve", |x| triangular_solve(x, &square(), Triangular::lower())),
        row("triangular_solve", |x| triangular_solve(&square(), x, Triangular::upper())),
        row("tridiagonal_solve", |x| tridiagonal_solve(x, x, x, &Tensor::zeros([4, 1]))),
        row("solve_toeplitz", |x| solve_toeplitz(x, x, &Tensor::zeros([3]))).or(&["solve", "take"]),
        row("cholesky_update", |x| cholesky_update(x, &Tensor::zeros([2]))),
        row("cholesky_update", |x| cholesky_update(&square(), x)),
    ]);
}

#[test]
fn fourier() {
    check(vec![
        row("fft", |x| fft::fft(x)),
        row("ifft", |x| fft::ifft(x)),
        row("rfft", |x| fft::rfft(x)),
        row("irfft", |x| fft::irfft(x)),
        row("hfft", |x| fft::hfft(x)).or(&["irfft"]),
        row("ihfft", |x| fft::ihfft(x)).or(&["rfft"]),
        row("fft2", |x| fft::fft2(x)).or(&["fft"]),
        row("ifft2", |x| fft::ifft2(x)).or(&["ifft"]),
        row("rfft2", |x| fft::rfft2(x)).or(&["rfft"]),
        row("irfft2", |x| fft::irfft2(x)).or(&["irfft"]),
        row("fftn", |x| fft::fftn(x, [0, 5])).or(&["fft"]),
        row("ifftn", |x| fft::ifftn(x, [0, 5])).or(&["ifft"]),
        row("rfftn", |x| fft::rfftn(x, [0, 0])).or(&["rfft"]),
        row("irfftn", |x| fft::irfftn(x, [-9])).or(&["irfft"]),
        row("fftshift", |x| fft::fftshift(x, 2)).or(&["roll"]),
        row("fft", |x| Fft::over([0]).lengths(&[1, 2]).fft(x)),
        row("irfft", |x| Fft::over([0]).lengths(&[0]).irfft(x)),
    ]);
}

#[test]
fn random_numbers() {
    use random::*;
    let key = || Key::new(0);
    let n = [2i64];
    check(vec![
        row("random", move |x| normal(&Key::from_tensor(x.clone()), n)),
        row("split", move |x| Key::from_tensor(x.clone()).split_tensor(2)).or(&["random"]),
        row("fold_in", move |x| key().fold_in(x).to_tensor()),
        row("normal", move |x| normal_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("uniform", move |x| uniform_as(&key(), n, x.dtype())),
        row("uniform_range", move |x| uniform_range(&key(), n, x, 3.0)).or(&[
            "uniform",
            "broadcast_to",
            "broadcast_in_dim",
        ]),
        row("bits", move |x| bits_as(&key(), n, x.dtype())),
        row("randint", move |x| randint_as(&key(), n, 0, 1, x.dtype())),
        row("randint", move |x| randint(&key(), n, x, 9)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("rademacher", move |x| rademacher_as(&key(), n, x.dtype())),
        row("bernoulli", move |x| bernoulli(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("triangular", move |x| triangular(&key(), x, x, x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("exponential", move |x| exponential_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("gumbel", move |x| gumbel_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("laplace", move |x| laplace_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("logistic", move |x| logistic_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("cauchy", move |x| cauchy_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("maxwell", move |x| maxwell_as(&key(), n, x.dtype())).or(&["uniform"]),
        row("orthogonal", move |x| orthogonal_as(&key(), 2, 2, n, x.dtype())),
        row("pareto", move |x| pareto(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("rayleigh", move |x| rayleigh(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("weibull_min", move |x| weibull_min(&key(), x, 1.0, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("weibull_min", move |x| weibull_min(&key(), 1.0, x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("truncated_normal", move |x| truncated_normal(&key(), x, 2.0, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("lognormal", move |x| lognormal(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("wald", move |x| wald(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("multivariate_normal", move |x| multivariate_normal(&key(), x, &square(), n))
            .or(&["broadcast_to", "broadcast_in_dim"]),
        row("multivariate_normal", move |x| multivariate_normal(&key(), &Tensor::zeros([2]), x, n)),
        row("multivariate_normal_of_factor", move |x| multivariate_normal_of_factor(&key(), x, x, n)),
        row("gamma", move |x| gamma(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("loggamma", move |x| loggamma(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("beta", move |x| beta(&key(), x, 1.0, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("dirichlet", move |x| dirichlet(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("chisquare", move |x| chisquare(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("student_t", move |x| student_t(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("f_ratio", move |x| f_ratio(&key(), x, x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("poisson", move |x| poisson(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("geometric", move |x| geometric(&key(), x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("binomial", move |x| binomial(&key(), x, 0.5, n)).or(&["literal", "broadcast_to", "broadcast_in_dim"]),
        row("binomial", move |x| binomial(&key(), 3.0, x, n)).or(&["broadcast_to", "broadcast_in_dim"]),
        row("categorical", move |x| categorical(&key(), x, 1)).or(&["uniform", "gumbel"]),
        row("shuffle", move |x| shuffle(&key(), x)),
        row("choice", move |x| choice(&key(), x, n)),
        row("choice", move |x| Choice::new().weights(x).indices(&key(), 5, n)),
        row("choice", move |x| Choice::new().without_replacement().rows(&key(), x, [9])),
    ]);
}

#[test]
fn special_functions() {
    use special::*;
    check(vec![
        row("gammaln", |x| gammaln(x)),
        row("digamma", |x| digamma(x)),
        row("gamma", |x| gamma(x)),
        row("factorial", |x| factorial(x)),
        row("erfinv", |x| erfinv(x)),
        row("i0", |x| i0(x)),
        row("expit", |x| expit(x)),
        row("logit", |x| logit(x)),
        row("entr", |x| entr(x)),
        row("log1mexp", |x| log1mexp(x)),
        row("exprel", |x| exprel(x)),
        row("sinc", |x| sinc(x)),
        row("zeta", |x| zeta(x, Tensor::zeros([5]))),
        row("betaln", |x| betaln(x, 1.0)),
        row("beta", |x| beta(Tensor::zeros([5]), x)),
        row("xlogy", |x| xlogy(x, Tensor::zeros([5]))),
        row("rel_entr", |x| rel_entr(x, 1.0)),
        row("kl_div", |x| kl_div(x, 1.0)),
        row("polygamma", |x| polygamma(2, x)),
        row("multigammaln", |x| multigammaln(x, 2)),
        row("gammainc", |x| gammainc(x, Tensor::zeros([5]))),
        row("gammaincc", |x| gammaincc(1.0, x)),
        row("random_gamma_grad", |x| random_gamma_grad(x, 1.0)),
        row("betainc", |x| betainc(x, 1.0, 0.5)).or(&["literal"]),
        row("exp1", |x| exp1(x)),
        row("expi", |x| expi(x)),
        row("ndtr", |x| ndtr(x)),
        row("log_ndtr", |x| log_ndtr(x)),
        row("ndtri", |x| ndtri(x)),
        row("legendre", |x| legendre(3, x)),
        row("assoc_legendre", |x| assoc_legendre(3, 1, x)),
        row("spherical_harmonics", |x| spherical_harmonics(2, x)),
        row("spherical_harmonics_angles", |x| spherical_harmonics_angles(2, x, &Tensor::zeros([5])))
            .or(&["spherical_harmonics"]),
    ]);
}

#[test]
fn debugging() {
    let holds = || Tensor::full([7], 1, DType::Bool);
    check(vec![
        row("debug::check", |x| debug::check(&Tensor::zeros([2, 3]), x, "{} is wrong"))
            .or(&["broadcast_to", "broadcast_in_dim"]),
        row("debug::check", move |x| debug::check(x, &holds(), "{} is wrong"))
            .or(&["broadcast_to", "broadcast_in_dim"]),
    ]);
    let at = |e: Error, line: u32, part: &str| {
        let text = e.to_string();
        assert!(text.contains(&format!("misuse.rs:{line}")) && text.contains(part), "{text}");
    };
    at(debug::print("{} {}", &[&square()]).check().unwrap_err(), line!(), "2 values");
    at(debug::print("{", &[]).check().unwrap_err(), line!(), "debug::print");
    let bad = Tensor::zeros([2]).sum(7);
    at(debug::print("{}", &[&bad]).check().unwrap_err(), line!() - 1, "axis 7");
    at(debug::callback(|_| Ok(()), &[&bad]).check().unwrap_err(), line!() - 2, "axis 7");
    let none = debug::call(|_| Ok(vec![]), &[&square()], &[square().ty()]);
    at(none[0].check().unwrap_err(), line!() - 1, "debug::call");
    let fails = debug::call(|_| panic!("no"), &[&square()], &[square().ty()]);
    at(fails[0].check().unwrap_err(), line!() - 1, "panicked: no");
}

#[test]
fn methods() {
    let other = || Tensor::zeros([2, 5]);
    check(vec![
        row("sine", |x| x.sin()),
        row("exponential", |x| x.exp()),
        row("floor", |x| x.floor()),
        row("not", |x| !x),
        row("popcnt", |x| x.count_ones()),
        row("is_finite", |x| x.is_finite()),
        row("add", move |x| x + other()),
        row("subtract", move |x| x - other()),
        row("multiply", move |x| x * other()),
        row("divide", move |x| x / other()),
        row("remainder", move |x| x % other()),
        row("power", move |x| x.pow(other())),
        row("maximum", move |x| x.maximum(other())),
        row("atan2", move |x| x.atan2(other())),
        row("and", move |x| x & other()),
        row("shift_left", move |x| x.shift_left(x)),
        row("less", move |x| x.lt(other())),
        row("next_after", |x| x.next_after(x)),
        row("select", move |x| x.select(other(), other())),
        row("complex", move |x| Tensor::complex(x, &other())),
        row("sum", |x| x.sum(2)),
        row("prod", |x| x.prod([0, 0])),
        row("mean", |x| x.mean(0)).or(&["reduce"]),
        row("max", |x| x.max(..)).or(&["reduce"]),
        row("argmax", |x| x.argmax(0)).or(&["arg_reduce"]),
        row("cumsum", |x| x.cumsum(1)).or(&["cumulative"]),
        row("softmax", |x| x.softmax(0)).or(&["max", "reduce"]),
        row("logsumexp", |x| x.logsumexp(0)).or(&["max", "reduce"]),
        row("var", |x| x.var(0)).or(&["mean"]),
        row("sort", |x| x.sort(0)),
        row("argsort", |x| x.argsort(-1)).or(&["sort"]),
        row("top_k", |x| x.top_k(2)),
        row("median", |x| x.median(0)),
        row("reshape", |x| x.reshape([7, -1])),
        row("transpose", |x| x.transpose([1, 0])),
        row("expand_dims", |x| x.expand_dims(9)),
        row("squeeze", |x| x.squeeze(0)),
        row("flip", |x| x.flip(2)),
        row("concatenate", move |x| Tensor::concatenate(&[x.clone(), other()], 0)),
        row("stack", move |x| Tensor::stack(&[x.clone(), other()], 0)),
        row("broadcast_to", |x| x.broadcast_to([5])).or(&["broadcast_to", "broadcast_in_dim"]),
        row("pad", |x| x.pad(&[(1, 1)], 0)),
        row("slice", |x| x.slice_axis(0, 1, 9)).or(&["slice_axis"]),
        row("index", |x| x.i((0, 5))),
        row("index", |x| x.i(x)),
        row("index", |x| x.at(0).set(Tensor::zeros([9]))).or(&["set", "scatter", "at"]),
        row("take", |x| Tensor::zeros([2]).take(x, 0)).or(&["index"]),
        row("take_along_axis", |x| Tensor::zeros([2]).take_along_axis(x, 0)),
        row("dynamic_slice", |x| x.dynamic_slice((0, 0), [1, 1])),
        row("matmul", move |x| x.matmul(&other())),
        row("dot", move |x| x.dot(&other())),
        row("einsum", |x| einsum("ij,jk->ik", &[x, x])).or(&["dot_general"]),
        row("tensordot", move |x| x.tensordot(&other(), [0], [0])).or(&["dot_general"]),
        row("conv2d", |x| x.conv2d(&Tensor::zeros([1, 1, 1, 1]), &Conv::new())),
        row("conv", |x| conv_general(x, x, ("NC", "OI", "NC"), &Conv::new())).or(&["conv_general", "convolution"]),
        row("max_pool", |x| x.max_pool(&[2], &[1], &Padding::Valid)).or(&["reduce_window"]),
        row("convert", |x| x.to(DType::F32)),
        row("bitcast_convert", |x| x.bitcast(DType::I32)),
        row("one_hot", |x| x.one_hot(3, DType::F32)),
        row("tril", |x| x.tril(0)),
        row("trace", |x| x.trace()).or(&["sum"]),
        row("searchsorted", |x| x.searchsorted(&Tensor::zeros([2]), Side::Left)),
        row("segment_sum", |x| segment_sum(&Tensor::zeros([3]), x, 2)),
    ]);
}
