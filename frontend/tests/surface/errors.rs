//! What a user reads when the surface is misused. Nothing here may panic.

use super::numbers;
use gradloom_frontend::prelude::*;
use gradloom_frontend::{
    Between, Grid, Outside, Overlap, PadMode, Resize, Side, TakeMode, Tensor, broadcast_arrays, conv_general,
    einsum_path, interp, meshgrid, polyval, random, segment_mean, segment_sum,
};

#[track_caller]
fn says(t: &Tensor, parts: &[&str]) {
    let text = t.check().expect_err("an error").to_string();
    for p in parts {
        assert!(text.contains(p), "`{p}` is missing from:\n{text}");
    }
    assert!(text.contains("errors.rs:"), "no position in:\n{text}");
}

fn x() -> Tensor {
    Tensor::zeros([2, 3])
}

#[test]
fn axes() {
    says(&x().sum(2), &["sum", "axis 2", "f32[2,3]", "valid axes are -2..=1"]);
    says(&x().mean([0, -2]), &["mean", "axis 0 is listed twice"]);
    says(&x().argmax(i64::MIN), &["argmax", "out of range"]);
    says(&x().sum(usize::MAX), &["out of range"]);
    says(&x().expand_dims(4), &["expand_dims", "axis 4", "-3..=2"]);
    says(&x().expand_dims(..), &["expand_dims"]);
    says(&x().squeeze(1), &["squeeze", "length 3"]);
    says(&x().transpose([0]), &["transpose", "[0]", "swapaxes"]);
    says(&x().swapaxes(0, 5), &["swapaxes", "axis 5"]);
    says(&x().cumsum(-3), &["cumsum", "axis -3"]);
    says(&Tensor::from(1.0f32).softmax(0), &["scalar"]);
    says(&x().slice_axis(2, 0, 1), &["axis 2"]);
    says(&x().slice_axis(1, 2, 9), &["slice"]);
}

#[test]
fn shapes() {
    says(&x().reshape([4, -1]), &["reshape", "-1", "6 elements"]);
    says(&x().reshape([-1, -1]), &["reshape", "one axis may be -1"]);
    says(&x().reshape([7]), &["reshape", "6", "7"]);
    says(&x().reshape([i64::MAX, i64::MAX]), &["reshape"]);
    says(&Tensor::zeros([0, 3]).reshape([0, -1]), &["reshape", "-1"]);
    says(&Tensor::concatenate(&[], 0), &["concatenate", "no tensors"]);
    says(&Tensor::concatenate(&[x(), Tensor::zeros([2, 2])], 0), &["concatenate", "f32[2,2]"]);
    says(&Tensor::stack(&[x(), Tensor::zeros([3, 2])], 0), &["stack", "one shape", "concatenate"]);
    says(&x().split(2, 1)[1], &["split", "no 2 equal parts", "split_at"]);
    says(&x().split(0, 1)[0], &["split"]);
    says(&x().split_at(&[2, 1], 1)[2], &["split_at", "ascend"]);
    says(&x().pad(&[(1, 1)], 0.0), &["pad", "1 pairs", "f32[2,3]"]);
    says(&x().pad(&[(-9, 0), (0, 0)], 0.0), &["pad", "-7"]);
    says(&x().pad(&[(i64::MAX, i64::MAX), (0, 0)], 0.0), &["pad"]);
    says(&Tensor::arange(3).pad(&[(1, 1)], 0.5), &["0.5", "i32"]);
    says(&x().repeat(usize::MAX, 0), &["repeat", "2 x"]);
    says(&x().tile(&[usize::MAX, usize::MAX]), &["tile"]);
    says(&Tensor::eye(1 << 40), &["elements"]);
    says(&Tensor::zeros([3]).tril(0), &["tril", "matrix"]);
    says(&x().one_hot(3, DType::F32), &["one_hot", "integer"]);
    says(&Tensor::zeros([usize::MAX]), &["full"]);
}

#[test]
fn dtypes() {
    says(&Tensor::arange(3).mean(..), &["mean", "i32", ".to(DType::F32)"]);
    says(&Tensor::arange(3).softmax(0), &["softmax", "i32"]);
    says(&x().all(..), &["all", "f32", "ne(0)"]);
    says(&x().gt(0.0).sum(..), &["sum", "bool", "any"]);
    says(&x().bitcast(DType::F64), &["bitcast", "size"]);
    says(&x().matmul(&Tensor::arange(3)), &["matmul", "f32", "i32", ".to("]);
    says(&Tensor::zeros([0, 2]).argmax(0), &["arg_reduce", "empty"]);
}

#[test]
fn contractions() {
    says(&x().matmul(&x()), &["matmul", "3 and 2", "einsum"]);
    says(&x().matmul(&Tensor::from(1.0f32)), &["matmul", "`*`"]);
    says(&Tensor::zeros([2, 2, 3]).matmul(&Tensor::zeros([3, 3, 2])), &["matmul", "batch axes"]);
    says(&x().dot(&x()), &["dot", "3 and 2"]);
    says(&x().tensordot(&x(), [0], [1]), &["contracted", "2 and 3"]);
    says(&einsum("ij,jk->ik", &[&x()]), &["einsum", "2 groups for 1 operands"]);
    says(&einsum("ij,jk->ik", &[&x(), &x()]), &["index `j`", "length 3", "f32[2,3]", "2"]);
    says(&einsum("ijk->i", &[&x()]), &["\"ijk\"", "3 axes"]);
    says(&einsum("i->i", &[&x()]), &["names 1 axes"]);
    says(&einsum("ij->ijk", &[&x()]), &["`k`", "no operand"]);
    says(&einsum("ij->ii", &[&x()]), &["`i` twice"]);
    says(&einsum("i.j->i", &[&x()]), &["`.` is not a letter"]);
    says(&einsum("...i...->i", &[&x()]), &["more than one ellipsis"]);
    says(&einsum("...j->j", &[&x()]), &["ellipsis"]);
    says(&einsum("ii->i", &[&x()]), &["`i`", "length"]);
    says(&einsum("i1->i", &[&x()]), &["`1` is not a letter"]);
    says(&einsum("", &[]), &["groups"]);
    says(&einsum("ij,ij->", &[&x(), &Tensor::arange(6).reshape([2, 3])]), &["einsum", "f32", "i32"]);
}

#[test]
fn convolutions() {
    let (image, kernel) = (Tensor::zeros([1, 5, 5, 3]), Tensor::zeros([3, 3, 3, 4]));
    says(&x().conv2d(&kernel, &Conv::new()), &["conv2d", "4 axes", "NHWC", "HWIO"]);
    says(&image.conv2d(&Tensor::zeros([3, 3, 2, 4]), &Conv::new()), &["convolution", "3 input features"]);
    says(&image.conv2d(&kernel, &Conv::new().strides([0, 1])), &["strides 0", "at least 1"]);
    says(&image.conv2d(&kernel, &Conv::new().strides([1, 1, 1])), &["3 entries of strides for 2"]);
    says(&image.conv2d(&kernel, &Conv::new().dilation([usize::MAX])), &["dilation"]);
    says(&image.conv2d(&kernel, &Conv::new().groups(0)), &["groups"]);
    says(&image.conv2d(&kernel, &Conv::new().padding(Padding::Explicit(vec![]))), &["0 padding widths for 2"]);
    let far = Padding::Explicit(vec![(i64::MAX, i64::MIN); 2]);
    says(&image.conv2d(&kernel, &Conv::new().padding(far.clone())), &["out of bounds"]);
    says(&conv_general(&image, &kernel, ("NHWC", "HWII", "NHWC"), &Conv::new()), &["\"HWII\"", "once each"]);
    says(&image.max_pool(&[2], &[2], &Padding::Valid), &["max_pool", "window of 1 axes"]);
    says(&image.max_pool(&[0, 2], &[2], &Padding::Valid), &["window 0"]);
    says(&image.avg_pool(&[2, 2], &[1, 0], &Padding::Same), &["strides 0"]);
    says(&image.avg_pool(&[2, 2], &[1, 1], &far), &["out of bounds"]);
    says(&x().conv(&kernel, &Conv::new()), &["conv", "3 to 5"]);
}

#[test]
fn indices() {
    says(&x().i(2), &["index", "position 2", "axis 0", "length 2"]);
    says(&x().i((0, i64::MIN)), &["position", "axis 1"]);
    says(&x().i((0, 0, 0)), &["3 entries", "2 axes"]);
    says(&x().i((.., .., 0)), &["`..` stands twice"]);
    says(&x().i(step(.., 0)), &["step of 0"]);
    says(&x().i(step(3, 2)), &["step"]);
    says(&x().i(x().gt(0.0)), &["bool", "select"]);
    says(&x().i(x()), &["f32", "integer", "DType::I32"]);
    let (a, b) = (Tensor::arange(2), Tensor::arange(3));
    says(&x().i((&a, &b)), &["i32[2]", "i32[3]", "broadcast"]);
    says(&x().at(0).set(Tensor::zeros([2])), &["f32[3]", "f32[2]", "place"]);
    says(&x().at(0).set(Tensor::zeros([1, 1, 3])), &["place"]);
    says(&x().at(0).add(Tensor::arange(3)), &["f32", "i32"]);
    says(&x().gt(0.0).at(0).add(true), &["bool", "set"]);
    says(&Tensor::arange(3).at(0).set(0.5), &["0.5"]);
    says(&x().take_along_axis(&a, 1), &["take_along_axis", "broadcast"]);
    says(&x().take(&x(), 0), &["integer"]);
    says(&x().dynamic_slice((0, 0, 0), [1, 1]), &["3 starts"]);
    says(&x().dynamic_slice((0, 0), [1, 9]), &["sizes"]);
    says(&x().dynamic_slice((&x(), 0), [1, 1]), &["integer scalar"]);
    says(&x().dynamic_update_slice(&Tensor::zeros([3, 3]), (0, 0)), &["fit"]);
    says(&x().top_k(4).1, &["top_k", "4 greatest"]);
    says(&Tensor::sort_by_key(&x(), &[Tensor::zeros([3])], 0).1[0], &["sort", "one shape"]);
}

#[test]
fn composed_functions() {
    let ints = Tensor::arange(3);
    says(&ints.sinc(), &["sinc", "i32", ".to(DType::F32)"]);
    says(&x().gcd(2), &["gcd", "f32", "integer"]);
    says(&x().gt(0.0).remainder(true), &["remainder", "bool", "a number"]);
    says(&x().logaddexp(&ints), &["logaddexp", "f32", "i32"]);
    says(&x().hypot(Tensor::zeros([2])), &["hypot", "f32[2,3]", "f32[2]", "expand_dims"]);
    says(&polyval(&x(), &x()), &["polyval", "2 axes", "flatten"]);
    says(&Tensor::arange_from(0.0, 1.0, 0.0, DType::F32), &["arange_from", "by 0", "step"]);
    says(&Tensor::arange_from(0.0, 1.0, 0.5, DType::I32), &["arange_from", "0.5", "i32"]);
    says(&Tensor::geomspace(-1.0, 1.0, 3), &["geomspace", "one sign"]);
    says(&meshgrid(&[&x()], Grid::Ij)[0], &["meshgrid", "2 axes"]);
    says(&broadcast_arrays(&[&x(), &ints.i(..2)])[1], &["broadcast_arrays", "f32[2,3]", "i32[2]"]);
    says(&x().pad_with(&[(1, 1)], PadMode::Wrap), &["pad_with", "1 pairs"]);
    says(&Tensor::zeros([0]).pad_with(&[(1, 1)], PadMode::Edge), &["pad_with", "empty", "x.pad("]);
    says(&x().roll([1, 2, 3], [0, 1]), &["roll", "3 shifts for 2 axes"]);
    says(&x().roll(1, 2), &["roll", "axis 2", "-2..=1"]);
    says(&x().move_axis([0, 1], 0), &["move_axis", "2 axes and 1"]);
    says(&x().rot90(1, (0, 0)), &["rot90", "twice"]);
    says(&x().i(0).trace(), &["trace", "axis -2", "f32[3]"]);
    says(&x().diagonal(0, 0, 5), &["diagonal", "axis 5"]);
    says(&x().repeat_counts(&ints, 0, 4), &["repeat_counts", "one count an element", "length 2"]);
    says(&x().array_split(0, 0)[0], &["array_split", "0 parts"]);
    says(&x().searchsorted(&x(), Side::Left), &["searchsorted", "2 axes"]);
    says(&ints.searchsorted(&x(), Side::Left), &["searchsorted", "i32", "f32"]);
    let (two, three) = (Tensor::zeros([2]), Tensor::zeros([3]));
    says(&interp(&x(), &two, &three, Outside::Nearest), &["interp", "one value a point"]);
    says(&interp(&x(), &two, &two, Outside::Period(0.0)), &["interp", "no period"]);
    says(&x().histogram(0, None, None).1, &["histogram", "at least one bin"]);
    says(&x().histogram(3, Some((2.0, 1.0)), None).0, &["histogram", "from 2 to 1"]);
    says(&x().bincount(None, 3), &["bincount", "integer"]);
    says(&ints.bincount(Some(&two), 3), &["bincount", "one weight an element"]);
    says(&Tensor::zeros([0]).unique(2, None::<f32>).counts, &["unique", "fill"]);
    says(&x().take_with(&two, 0, TakeMode::Wrap), &["take_with", "integer"]);
    says(&ints.median(..), &["median", "i32"]);
    says(&x().quantile(0.5, 3, Between::Linear), &["quantile", "axis 3"]);
    says(&x().average(0, &three), &["average", "f32[3]", "vector along the one axis"]);
    says(&Tensor::zeros([1, 1, 1]).cov(0.0), &["cov", "3 axes", "vmap"]);
    says(&x().norm_order(f64::NAN, ..), &["norm_order", "NaN"]);
    says(&x().nanmean(4), &["nanmean", "axis 4"]);
    says(&x().ptp(4), &["ptp", "axis 4"]);
    says(&Tensor::lexsort(&[], 0), &["lexsort", "no keys"]);
    says(&two.convolve(&Tensor::zeros([0]), Overlap::Full), &["convolve", "empty"]);
    says(&two.inner(&three), &["inner", "2 and 3"]);
    says(&two.vdot(&three), &["vdot", "2 and 3"]);
    says(&x().cross(&Tensor::zeros([4]), -1), &["cross", "3 and 4", "2 or 3"]);
    says(&two.distances(&x()), &["distances", "[.., n, d]"]);
    says(&segment_sum(&x(), &ints, 3), &["segment_sum", "one id a row", "move_axis"]);
    says(&segment_mean(&ints, &ints, 3), &["segment_mean", "i32", "float"]);
    says(&x().resize([4], Resize::bilinear()), &["resize", "1 lengths", "every axis"]);
    says(&x().unfold(&[2], &[1], &Padding::Valid), &["unfold", "window of 1 axes"]);
    says(&Tensor::zeros([1, 3, 2]).fold(&[9], &[2], &[1], &Padding::Valid), &["fold", "[8] windows", "unfold"]);
    says(&x().pixel_shuffle(2), &["pixel_shuffle", "4"]);
    says(&Tensor::zeros([1, 2, 2, 3]).pixel_shuffle(2), &["pixel_shuffle", "3 features"]);
    let conv = Conv::new().input_dilation([2]);
    says(&Tensor::zeros([1, 4, 1]).conv_transpose(&Tensor::zeros([2, 1, 1]), &conv), &["conv_transpose", "dilation"]);
    let e = einsum_path("ij->k", &[&x()]).unwrap_err().to_string();
    assert!(e.contains("`k`") && e.contains("errors.rs:"), "{e}");
}

#[test]
fn random_numbers() {
    let keys = Key::new(0).split_batch(3);
    says(&random::normal(&keys, [2]), &["u32[2]", "u32[3,2]", "vmap"]);
    says(&random::normal(&Key::new(0), [-1]), &["normal", "negative"]);
    says(&random::uniform(&Key::new(0), [1i64 << 40, 1 << 40]), &["elements"]);
    says(&random::uniform(&Key::new(0), [1i64 << 33]), &["split the key"]);
    says(&random::uniform_as(&Key::new(0), [1], DType::I32), &["uniform", "i32"]);
    says(&random::randint(&Key::new(0), [1], 0.5, 2), &["0.5"]);
    says(&random::randint(&Key::new(0), [1], Tensor::from(1.0f32), 2), &["randint", "f32"]);
    says(&random::bernoulli(&Key::new(0), x(), [2]), &["broadcast"]);
    says(&Key::new(0).fold_in(x()).to_tensor(), &["fold_in", "integer scalar"]);
    says(&random::categorical(&Key::new(0), &Tensor::arange(3), 0), &["uniform", "i32"]);
    says(&random::shuffle(&Key::new(0), &Tensor::from(1)), &["shuffle", "no rows"]);
}

#[test]
fn the_first_error_of_a_traced_function() {
    let f = jit(|x: &Tensor| x.matmul(&Tensor::zeros([7])).softmax(9).sum(..));
    let e = f.call(&numbers(&[2, 3], 1)).expect_err("an error").to_string();
    assert!(e.contains("matmul") && e.contains("errors.rs:"), "{e}");
}
