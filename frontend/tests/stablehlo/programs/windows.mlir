// Windows: plain, running, padded with another initial value, with an arbitrary region.
module @test {
  func.func public @main() {
    %x:3 = call @inputs() : () -> (tensor<4x5xf32>, tensor<6xi32>, tensor<2x2xf32>)
    %want:5 = call @expected() : () -> (tensor<2x3xf32>, tensor<6xi32>, tensor<9xi32>, tensor<3xi32>, tensor<4x5xf32>)
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %nil = stablehlo.constant dense<0> : tensor<i32>
    %least = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %0 = "stablehlo.reduce_window"(%x#0, %least) <{padding = dense<[[0, 1], [1, 1]]> : tensor<2x2xi64>, window_dimensions = array<i64: 2, 3>, window_strides = array<i64: 2, 2>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %m = stablehlo.maximum %a, %b : tensor<f32>
      stablehlo.return %m : tensor<f32>
    }) : (tensor<4x5xf32>, tensor<f32>) -> tensor<2x3xf32>
    %1 = "stablehlo.reduce_window"(%x#1, %nil) <{padding = dense<[[5, 0]]> : tensor<1x2xi64>, window_dimensions = array<i64: 6>}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>):
      %m = stablehlo.add %a, %b : tensor<i32>
      stablehlo.return %m : tensor<i32>
    }) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi32>
    %2 = "stablehlo.reduce_window"(%x#1, %one) <{padding = dense<1> : tensor<1x2xi64>, window_dimensions = array<i64: 3>, base_dilations = array<i64: 2>, window_dilations = array<i64: 2>}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>):
      %m = stablehlo.add %a, %b : tensor<i32>
      stablehlo.return %m : tensor<i32>
    }) : (tensor<6xi32>, tensor<i32>) -> tensor<9xi32>
    %3 = "stablehlo.reduce_window"(%x#1, %nil) <{window_dimensions = array<i64: 2>, window_strides = array<i64: 2>}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>):
      %m = stablehlo.xor %a, %b : tensor<i32>
      stablehlo.return %m : tensor<i32>
    }) : (tensor<6xi32>, tensor<i32>) -> tensor<3xi32>
    %4 = "stablehlo.select_and_scatter"(%x#0, %x#2, %zero) <{window_dimensions = array<i64: 2, 2>, window_strides = array<i64: 2, 2>, padding = dense<[[0, 0], [0, -1]]> : tensor<2x2xi64>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %p = stablehlo.compare GE, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    }, {
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
    }) : (tensor<4x5xf32>, tensor<2x2xf32>, tensor<f32>) -> tensor<4x5xf32>
    stablehlo.custom_call @check.expect_eq(%0, %want#0) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#1) {has_side_effect = true} : (tensor<6xi32>, tensor<6xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<9xi32>, tensor<9xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<3xi32>, tensor<3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4, %want#4) {has_side_effect = true} : (tensor<4x5xf32>, tensor<4x5xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<4x5xf32>, tensor<6xi32>, tensor<2x2xf32>) {
    %0 = stablehlo.constant dense<[[3.75e-01, 1.0e+00, -1.25e-01, 1.375e+00, -6.25e-01], [3.75e-01, 8.75e-01, 1.25e-01, -7.5e-01, -8.75e-01], [-5.0e-01, 2.5e-01, -1.0e+00, -2.5e-01, -1.25e-01], [5.0e-01, 2.5e-01, 3.75e-01, -6.25e-01, -1.25e-01]]> : tensor<4x5xf32>
    %1 = stablehlo.constant dense<[-8, 7, 0, -3, 3, 1]> : tensor<6xi32>
    %2 = stablehlo.constant dense<[[1.5e+00, 1.375e+00], [7.5e-01, 2.5e-01]]> : tensor<2x2xf32>
    return %0, %1, %2 : tensor<4x5xf32>, tensor<6xi32>, tensor<2x2xf32>
  }
  func.func private @expected() -> (tensor<2x3xf32>, tensor<6xi32>, tensor<9xi32>, tensor<3xi32>, tensor<4x5xf32>) {
    %0 = stablehlo.constant dense<[[1.0e+00, 1.375e+00, 1.375e+00], [5.0e-01, 3.75e-01, -1.25e-01]]> : tensor<2x3xf32>
    %1 = stablehlo.constant dense<[-8, -1, -1, -4, -1, 0]> : tensor<6xi32>
    %2 = stablehlo.constant dense<[1, 0, 1, 5, 1, 1, 1, 2, 1]> : tensor<9xi32>
    %3 = stablehlo.constant dense<[-1, -3, 2]> : tensor<3xi32>
    %4 = stablehlo.constant dense<[[0.0e+00, 1.5e+00, 0.0e+00, 1.375e+00, 0.0e+00], [0.0e+00, 0.0e+00, 0.0e+00, 0.0e+00, 0.0e+00], [0.0e+00, 0.0e+00, 0.0e+00, 0.0e+00, 0.0e+00], [7.5e-01, 0.0e+00, 2.5e-01, 0.0e+00, 0.0e+00]]> : tensor<4x5xf32>
    return %0, %1, %2, %3, %4 : tensor<2x3xf32>, tensor<6xi32>, tensor<9xi32>, tensor<3xi32>, tensor<4x5xf32>
  }
}
