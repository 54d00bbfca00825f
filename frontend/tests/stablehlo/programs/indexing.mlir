// Gather, scatter by several regions, dynamic slices; indices outside the array.
module @test {
  func.func public @main() {
    %x:4 = call @inputs() : () -> (tensor<5x3xf32>, tensor<4xi32>, tensor<4x3xf32>, tensor<i32>)
    %want:6 = call @expected() : () -> (tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<2x3xf32>, tensor<5x3xf32>)
    %i = stablehlo.reshape %x#1 : (tensor<4xi32>) -> tensor<4x1xi32>
    %0 = "stablehlo.gather"(%x#0, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<5x3xf32>, tensor<4x1xi32>) -> tensor<4x3xf32>
    %1 = "stablehlo.scatter"(%x#0, %i, %x#2) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %b, %a : tensor<f32>
      stablehlo.return %s : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> tensor<5x3xf32>
    %2 = "stablehlo.scatter"(%x#0, %i, %x#2) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.subtract %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> tensor<5x3xf32>
    %3 = "stablehlo.scatter"(%x#0, %i, %x#2) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      stablehlo.return %b : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> tensor<5x3xf32>
    %nil = stablehlo.constant dense<0> : tensor<i32>
    %4 = stablehlo.dynamic_slice %x#0, %x#3, %nil, sizes = [2, 3] : (tensor<5x3xf32>, tensor<i32>, tensor<i32>) -> tensor<2x3xf32>
    %5 = stablehlo.dynamic_update_slice %x#0, %4, %nil, %x#3 : (tensor<5x3xf32>, tensor<2x3xf32>, tensor<i32>, tensor<i32>) -> tensor<5x3xf32>
    stablehlo.custom_call @check.expect_eq(%0, %want#0) {has_side_effect = true} : (tensor<4x3xf32>, tensor<4x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#1) {has_side_effect = true} : (tensor<5x3xf32>, tensor<5x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<5x3xf32>, tensor<5x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<5x3xf32>, tensor<5x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4, %want#4) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5, %want#5) {has_side_effect = true} : (tensor<5x3xf32>, tensor<5x3xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<5x3xf32>, tensor<4xi32>, tensor<4x3xf32>, tensor<i32>) {
    %0 = stablehlo.constant dense<[[-3.75e-01, 1.5e+00, 2.0e+00], [1.75e+00, 1.375e+00, 3.75e-01], [-1.25e+00, -0.0e+00, 6.25e-01], [-1.25e+00, 3.75e-01, 3.75e-01], [7.5e-01, -1.125e+00, -6.25e-01]]> : tensor<5x3xf32>
    %1 = stablehlo.constant dense<[4, 0, 7, -1]> : tensor<4xi32>
    %2 = stablehlo.constant dense<[[-3.75e-01, -1.125e+00, 1.75e+00], [-5.0e-01, 3.75e-01, -2.5e-01], [1.625e+00, 1.375e+00, 6.25e-01], [-2.25e+00, 0.0e+00, 6.25e-01]]> : tensor<4x3xf32>
    %3 = stablehlo.constant dense<9> : tensor<i32>
    return %0, %1, %2, %3 : tensor<5x3xf32>, tensor<4xi32>, tensor<4x3xf32>, tensor<i32>
  }
  func.func private @expected() -> (tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<2x3xf32>, tensor<5x3xf32>) {
    %0 = stablehlo.constant dense<[[7.5e-01, -1.125e+00, -6.25e-01], [-3.75e-01, 1.5e+00, 2.0e+00], [7.5e-01, -1.125e+00, -6.25e-01], [-3.75e-01, 1.5e+00, 2.0e+00]]> : tensor<4x3xf32>
    %1 = stablehlo.constant dense<[[-8.75e-01, 1.875e+00, 1.75e+00], [1.75e+00, 1.375e+00, 3.75e-01], [-1.25e+00, -0.0e+00, 6.25e-01], [-1.25e+00, 3.75e-01, 3.75e-01], [3.75e-01, -2.25e+00, 1.125e+00]]> : tensor<5x3xf32>
    %2 = stablehlo.constant dense<[[1.25e-01, 1.125e+00, 2.25e+00], [1.75e+00, 1.375e+00, 3.75e-01], [-1.25e+00, -0.0e+00, 6.25e-01], [-1.25e+00, 3.75e-01, 3.75e-01], [1.125e+00, 0.0e+00, -2.375e+00]]> : tensor<5x3xf32>
    %3 = stablehlo.constant dense<[[-5.0e-01, 3.75e-01, -2.5e-01], [1.75e+00, 1.375e+00, 3.75e-01], [-1.25e+00, -0.0e+00, 6.25e-01], [-1.25e+00, 3.75e-01, 3.75e-01], [-3.75e-01, -1.125e+00, 1.75e+00]]> : tensor<5x3xf32>
    %4 = stablehlo.constant dense<[[-1.25e+00, 3.75e-01, 3.75e-01], [7.5e-01, -1.125e+00, -6.25e-01]]> : tensor<2x3xf32>
    %5 = stablehlo.constant dense<[[-1.25e+00, 3.75e-01, 3.75e-01], [7.5e-01, -1.125e+00, -6.25e-01], [-1.25e+00, -0.0e+00, 6.25e-01], [-1.25e+00, 3.75e-01, 3.75e-01], [7.5e-01, -1.125e+00, -6.25e-01]]> : tensor<5x3xf32>
    return %0, %1, %2, %3, %4, %5 : tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<2x3xf32>, tensor<5x3xf32>
  }
}
