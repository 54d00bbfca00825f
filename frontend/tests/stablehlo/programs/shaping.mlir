// Moving elements: both forms, blobs, splats and empty arrays.
module @test {
  func.func public @main() {
    %x:2 = call @inputs() : () -> (tensor<3x4xi32>, tensor<2x0xf32>)
    %want:10 = call @expected() : () -> (tensor<2x3xi32>, tensor<1x2xi32>, tensor<4x3xi32>, tensor<4x3xi32>, tensor<5x4xi32>, tensor<3x4xi32>, tensor<2x3xi1>, tensor<4x0xf32>, tensor<2x3xui8>, tensor<2x10xi32>)
    %blob = stablehlo.constant dense<"0x0100000002000000030000000400000005000000060000000700000008000000"> : tensor<2x4xi32>
    %bools = stablehlo.constant dense<[true, false, true]> : tensor<3xi1>
    %0 = stablehlo.slice %x#0 [0:3:2, 1:4] : (tensor<3x4xi32>) -> tensor<2x3xi32>
    %1 = "stablehlo.slice"(%x#0) <{limit_indices = array<i64: 2, 4>, start_indices = array<i64: 1, 0>, strides = array<i64: 1, 3>}> : (tensor<3x4xi32>) -> tensor<1x2xi32>
    %2 = stablehlo.transpose %x#0, dims = [1, 0] : (tensor<3x4xi32>) -> tensor<4x3xi32>
    %p = stablehlo.constant dense<-1> : tensor<i32>
    %3 = stablehlo.pad %x#0, %p, low = [-1, 1], high = [0, -2], interior = [1, 0] : (tensor<3x4xi32>, tensor<i32>) -> tensor<4x3xi32>
    %4 = stablehlo.concatenate %x#0, %blob, dim = 0 : (tensor<3x4xi32>, tensor<2x4xi32>) -> tensor<5x4xi32>
    %5 = stablehlo.reverse %x#0, dims = [0, 1] : tensor<3x4xi32>
    %6 = stablehlo.broadcast_in_dim %bools, dims = [1] : (tensor<3xi1>) -> tensor<2x3xi1>
    %7 = stablehlo.concatenate %x#1, %x#1, dim = 0 : (tensor<2x0xf32>, tensor<2x0xf32>) -> tensor<4x0xf32>
    %8 = stablehlo.iota dim = 1 : tensor<2x3xui8>
    %9 = stablehlo.reshape %4 : (tensor<5x4xi32>) -> tensor<2x10xi32>
    stablehlo.custom_call @check.expect_eq(%0, %want#0) {has_side_effect = true} : (tensor<2x3xi32>, tensor<2x3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#1) {has_side_effect = true} : (tensor<1x2xi32>, tensor<1x2xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<4x3xi32>, tensor<4x3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<4x3xi32>, tensor<4x3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4, %want#4) {has_side_effect = true} : (tensor<5x4xi32>, tensor<5x4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5, %want#5) {has_side_effect = true} : (tensor<3x4xi32>, tensor<3x4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%6, %want#6) {has_side_effect = true} : (tensor<2x3xi1>, tensor<2x3xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%7, %want#7) {has_side_effect = true} : (tensor<4x0xf32>, tensor<4x0xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%8, %want#8) {has_side_effect = true} : (tensor<2x3xui8>, tensor<2x3xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%9, %want#9) {has_side_effect = true} : (tensor<2x10xi32>, tensor<2x10xi32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<3x4xi32>, tensor<2x0xf32>) {
    %0 = stablehlo.constant dense<[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]> : tensor<3x4xi32>
    %1 = stablehlo.constant dense<> : tensor<2x0xf32>
    return %0, %1 : tensor<3x4xi32>, tensor<2x0xf32>
  }
  func.func private @expected() -> (tensor<2x3xi32>, tensor<1x2xi32>, tensor<4x3xi32>, tensor<4x3xi32>, tensor<5x4xi32>, tensor<3x4xi32>, tensor<2x3xi1>, tensor<4x0xf32>, tensor<2x3xui8>, tensor<2x10xi32>) {
    %0 = stablehlo.constant dense<[[1, 2, 3], [9, 10, 11]]> : tensor<2x3xi32>
    %1 = stablehlo.constant dense<[[4, 7]]> : tensor<1x2xi32>
    %2 = stablehlo.constant dense<[[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]> : tensor<4x3xi32>
    %3 = stablehlo.constant dense<[[-1, -1, -1], [-1, 4, 5], [-1, -1, -1], [-1, 8, 9]]> : tensor<4x3xi32>
    %4 = stablehlo.constant dense<[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [1, 2, 3, 4], [5, 6, 7, 8]]> : tensor<5x4xi32>
    %5 = stablehlo.constant dense<[[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1, 0]]> : tensor<3x4xi32>
    %6 = stablehlo.constant dense<[[true, false, true], [true, false, true]]> : tensor<2x3xi1>
    %7 = stablehlo.constant dense<> : tensor<4x0xf32>
    %8 = stablehlo.constant dense<[[0, 1, 2], [0, 1, 2]]> : tensor<2x3xui8>
    %9 = stablehlo.constant dense<[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 1, 2, 3, 4, 5, 6, 7, 8]]> : tensor<2x10xi32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<2x3xi32>, tensor<1x2xi32>, tensor<4x3xi32>, tensor<4x3xi32>, tensor<5x4xi32>, tensor<3x4xi32>, tensor<2x3xi1>, tensor<4x0xf32>, tensor<2x3xui8>, tensor<2x10xi32>
  }
}
