// Reductions with every kind of region.
module @test {
  func.func public @main() {
    %x:2 = call @inputs() : () -> (tensor<3x4xf32>, tensor<3x4xi32>)
    %want:9 = call @expected() : () -> (tensor<3xf32>, tensor<f32>, tensor<4xi32>, tensor<3xi32>, tensor<3xf32>, tensor<3xi32>, tensor<4xi32>, tensor<4xi32>, tensor<3x4xf32>)
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %ten = stablehlo.constant dense<10.0> : tensor<f32>
    %none = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %first = stablehlo.constant dense<0> : tensor<i32>
    %0 = stablehlo.reduce(%x#0 init: %zero) applies stablehlo.add across dimensions = [1] : (tensor<3x4xf32>, tensor<f32>) -> tensor<3xf32>
    %1 = stablehlo.reduce(%x#0 init: %ten) applies stablehlo.add across dimensions = [0, 1] : (tensor<3x4xf32>, tensor<f32>) -> tensor<f32>
    %2 = stablehlo.reduce(%x#1 init: %first) applies stablehlo.xor across dimensions = [0] : (tensor<3x4xi32>, tensor<i32>) -> tensor<4xi32>
    %3 = "stablehlo.reduce"(%x#1, %first) <{dimensions = array<i64: 1>}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>):
      %two = stablehlo.constant dense<2> : tensor<i32>
      %t = stablehlo.multiply %a, %two : tensor<i32>
      %u = stablehlo.subtract %t, %b : tensor<i32>
      %v = stablehlo.add %u, %t : tensor<i32>
      %w = stablehlo.maximum %a, %b : tensor<i32>
      stablehlo.return %w : tensor<i32>
    }) : (tensor<3x4xi32>, tensor<i32>) -> tensor<3xi32>
    %i = stablehlo.iota dim = 1 : tensor<3x4xi32>
    %4:2 = stablehlo.reduce(%x#0 init: %none), (%i init: %first) across dimensions = [1] : (tensor<3x4xf32>, tensor<3x4xi32>, tensor<f32>, tensor<i32>) -> (tensor<3xf32>, tensor<3xi32>)
     reducer(%a: tensor<f32>, %b: tensor<f32>) (%c: tensor<i32>, %d: tensor<i32>) {
      %p = stablehlo.compare GT, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %q = stablehlo.compare NE, %a, %a, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %r = stablehlo.or %p, %q : tensor<i1>
      %s = stablehlo.compare EQ, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %t = stablehlo.compare LT, %c, %d, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %u = stablehlo.and %s, %t : tensor<i1>
      %v = stablehlo.or %r, %u : tensor<i1>
      %w = stablehlo.select %r, %a, %b : tensor<i1>, tensor<f32>
      %x = stablehlo.select %v, %c, %d : tensor<i1>, tensor<i32>
      stablehlo.return %w, %x : tensor<f32>, tensor<i32>
    }
    %5:2 = stablehlo.reduce(%x#1 init: %first), (%x#1 init: %first) across dimensions = [0] : (tensor<3x4xi32>, tensor<3x4xi32>, tensor<i32>, tensor<i32>) -> (tensor<4xi32>, tensor<4xi32>)
     reducer(%a: tensor<i32>, %b: tensor<i32>) (%c: tensor<i32>, %d: tensor<i32>) {
      %p = stablehlo.add %a, %b : tensor<i32>
      %q = stablehlo.minimum %c, %d : tensor<i32>
      stablehlo.return %p, %q : tensor<i32>, tensor<i32>
    }
    %6 = "stablehlo.map"(%x#0, %x#0) <{dimensions = array<i64: 0, 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %p = stablehlo.multiply %a, %b : tensor<f32>
      %q = stablehlo.add %p, %ten : tensor<f32>
      stablehlo.return %q : tensor<f32>
    }) : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
    stablehlo.custom_call @check.expect_close(%0, %want#0) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%1, %want#1) {has_side_effect = true} : (tensor<f32>, tensor<f32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<3xi32>, tensor<3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4#0, %want#4) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4#1, %want#5) {has_side_effect = true} : (tensor<3xi32>, tensor<3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5#0, %want#6) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5#1, %want#7) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_close(%6, %want#8) {has_side_effect = true} : (tensor<3x4xf32>, tensor<3x4xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<3x4xf32>, tensor<3x4xi32>) {
    %0 = stablehlo.constant dense<[[1.25e-01, -1.25e-01, 6.25e-01, 1.25e-01], [-5.0e-01, 3.75e-01, 1.25e+00, 1.0e+00], [-7.5e-01, -1.25e+00, -6.25e-01, 0.0e+00]]> : tensor<3x4xf32>
    %1 = stablehlo.constant dense<[[-2, 6, 0, -9], [4, 4, 6, -6], [-8, 6, -9, 0]]> : tensor<3x4xi32>
    return %0, %1 : tensor<3x4xf32>, tensor<3x4xi32>
  }
  func.func private @expected() -> (tensor<3xf32>, tensor<f32>, tensor<4xi32>, tensor<3xi32>, tensor<3xf32>, tensor<3xi32>, tensor<4xi32>, tensor<4xi32>, tensor<3x4xf32>) {
    %0 = stablehlo.constant dense<[7.5e-01, 2.125e+00, -2.625e+00]> : tensor<3xf32>
    %1 = stablehlo.constant dense<1.025e+01> : tensor<f32>
    %2 = stablehlo.constant dense<[2, 4, -15, 13]> : tensor<4xi32>
    %3 = stablehlo.constant dense<[6, 6, 6]> : tensor<3xi32>
    %4 = stablehlo.constant dense<[6.25e-01, 1.25e+00, 0.0e+00]> : tensor<3xf32>
    %5 = stablehlo.constant dense<[2, 2, 3]> : tensor<3xi32>
    %6 = stablehlo.constant dense<[-6, 16, -3, -15]> : tensor<4xi32>
    %7 = stablehlo.constant dense<[-8, 0, -9, -9]> : tensor<4xi32>
    %8 = stablehlo.constant dense<[[1.0015625e+01, 1.0015625e+01, 1.0390625e+01, 1.0015625e+01], [1.025e+01, 1.0140625e+01, 1.15625e+01, 1.1e+01], [1.05625e+01, 1.15625e+01, 1.0390625e+01, 1.0e+01]]> : tensor<3x4xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8 : tensor<3xf32>, tensor<f32>, tensor<4xi32>, tensor<3xi32>, tensor<3xf32>, tensor<3xi32>, tensor<4xi32>, tensor<4xi32>, tensor<3x4xf32>
  }
}
