// Scatters that combine as gradloom has no op for, of several operands, and of bools.
module @test {
  func.func public @main() {
    %x:13 = call @inputs() : () -> (tensor<4x5xf32>, tensor<4x5xi32>, tensor<5x2xi32>, tensor<5x2x2xf32>, tensor<5x2x2xi32>, tensor<6xui8>, tensor<6xi64>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<2x2x1xi32>, tensor<2x2x4xf32>)
    %want:8 = call @expected() : () -> (tensor<4x5xf32>, tensor<4x5xf32>, tensor<4x5xi32>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<4x5xf32>)
    %half = stablehlo.constant dense<5.0e-01> : tensor<f32>
    %at = stablehlo.reshape %x#6 : (tensor<6xi64>) -> tensor<6x1xi64>
    %a = "stablehlo.scatter"(%x#0, %x#2, %x#3) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1, 2], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<f32>, %q: tensor<f32>):
      %s = stablehlo.add %p, %q : tensor<f32>
      %h = stablehlo.multiply %s, %half : tensor<f32>
      stablehlo.return %h : tensor<f32>
    }) : (tensor<4x5xf32>, tensor<5x2xi32>, tensor<5x2x2xf32>) -> (tensor<4x5xf32>)
    %b:2 = "stablehlo.scatter"(%x#0, %x#1, %x#2, %x#3, %x#4) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1, 2], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<f32>, %i: tensor<i32>, %q: tensor<f32>, %j: tensor<i32>):
      %g = stablehlo.compare GE, %p, %q : (tensor<f32>, tensor<f32>) -> tensor<i1>
      %m = stablehlo.select %g, %p, %q : tensor<i1>, tensor<f32>
      %n = stablehlo.select %g, %i, %j : tensor<i1>, tensor<i32>
      stablehlo.return %m, %n : tensor<f32>, tensor<i32>
    }) : (tensor<4x5xf32>, tensor<4x5xi32>, tensor<5x2xi32>, tensor<5x2x2xf32>, tensor<5x2x2xi32>) -> (tensor<4x5xf32>, tensor<4x5xi32>)
    %c = "stablehlo.scatter"(%x#5, %at, %x#7) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<ui8>, %q: tensor<ui8>):
      %m = stablehlo.and %p, %q : tensor<ui8>
      stablehlo.return %m : tensor<ui8>
    }) : (tensor<6xui8>, tensor<6x1xi64>, tensor<6xui8>) -> (tensor<6xui8>)
    %d = "stablehlo.scatter"(%x#8, %at, %x#9) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<i1>, %q: tensor<i1>):
      %m = stablehlo.or %p, %q : tensor<i1>
      stablehlo.return %m : tensor<i1>
    }) : (tensor<6xi1>, tensor<6x1xi64>, tensor<6xi1>) -> (tensor<6xi1>)
    %e = "stablehlo.scatter"(%x#8, %at, %x#9) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<i1>, %q: tensor<i1>):
      %m = stablehlo.and %p, %q : tensor<i1>
      stablehlo.return %m : tensor<i1>
    }) : (tensor<6xi1>, tensor<6x1xi64>, tensor<6xi1>) -> (tensor<6xi1>)
    %f = "stablehlo.scatter"(%x#10, %x#11, %x#12) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [2], inserted_window_dims = [1], input_batching_dims = [0], scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 2>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<f32>, %q: tensor<f32>):
      %s = stablehlo.subtract %q, %p : tensor<f32>
      stablehlo.return %s : tensor<f32>
    }) : (tensor<2x3x4xf32>, tensor<2x2x1xi32>, tensor<2x2x4xf32>) -> (tensor<2x3x4xf32>)
    %g = "stablehlo.scatter"(%x#0, %x#2, %x#3) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1, 2], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%p: tensor<f32>, %q: tensor<f32>):
      stablehlo.return %p : tensor<f32>
    }) : (tensor<4x5xf32>, tensor<5x2xi32>, tensor<5x2x2xf32>) -> (tensor<4x5xf32>)
    stablehlo.custom_call @check.expect_eq(%a, %want#0) {has_side_effect = true} : (tensor<4x5xf32>, tensor<4x5xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%b#0, %want#1) {has_side_effect = true} : (tensor<4x5xf32>, tensor<4x5xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%b#1, %want#2) {has_side_effect = true} : (tensor<4x5xi32>, tensor<4x5xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%c, %want#3) {has_side_effect = true} : (tensor<6xui8>, tensor<6xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%d, %want#4) {has_side_effect = true} : (tensor<6xi1>, tensor<6xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%e, %want#5) {has_side_effect = true} : (tensor<6xi1>, tensor<6xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%f, %want#6) {has_side_effect = true} : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%g, %want#7) {has_side_effect = true} : (tensor<4x5xf32>, tensor<4x5xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<4x5xf32>, tensor<4x5xi32>, tensor<5x2xi32>, tensor<5x2x2xf32>, tensor<5x2x2xi32>, tensor<6xui8>, tensor<6xi64>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<2x2x1xi32>, tensor<2x2x4xf32>) {
    %0 = stablehlo.constant dense<[[1.750000000e+00, 3.750000000e-01, 1.000000000e+00, 2.250000000e+00, 1.875000000e+00], [-1.000000000e+00, 1.000000000e+00, -1.250000000e-01, -1.250000000e-01, 3.750000000e-01], [1.250000000e-01, 1.500000000e+00, 7.500000000e-01, 1.250000000e-01, 5.000000000e-01], [3.750000000e-01, 1.500000000e+00, -2.500000000e-01, 3.750000000e-01, -8.750000000e-01]]> : tensor<4x5xf32>
    %1 = stablehlo.constant dense<[[0, -9, 1, -6, 2], [-7, -9, -9, -5, -4], [-3, -1, 8, 6, -5], [0, 1, -8, -8, -2]]> : tensor<4x5xi32>
    %2 = stablehlo.constant dense<[[1, 1], [3, 4], [1, 1], [0, 2], [2, 3]]> : tensor<5x2xi32>
    %3 = stablehlo.constant dense<[[[1.250000000e-01, -5.000000000e-01], [-1.125000000e+00, 6.250000000e-01]], [[-3.750000000e-01, -7.500000000e-01], [1.000000000e+00, -1.875000000e+00]], [[2.500000000e-01, -0.000000000e+00], [-1.250000000e-01, -2.500000000e-01]], [[5.000000000e-01, -1.000000000e+00], [-2.500000000e-01, -1.625000000e+00]], [[-6.250000000e-01, -5.000000000e-01], [2.500000000e-01, -7.500000000e-01]]]> : tensor<5x2x2xf32>
    %4 = stablehlo.constant dense<[[[8, -4], [0, -6]], [[-9, -4], [-9, 8]], [[-5, -7], [7, -6]], [[-7, 1], [4, 7]], [[-2, 0], [-9, 1]]]> : tensor<5x2x2xi32>
    %5 = stablehlo.constant dense<[114, 43, 186, 127, 23, 187]> : tensor<6xui8>
    %6 = stablehlo.constant dense<[0, 2, 2, 5, 9, -1]> : tensor<6xi64>
    %7 = stablehlo.constant dense<[130, 121, 98, 62, 163, 222]> : tensor<6xui8>
    %8 = stablehlo.constant dense<[false, true, true, false, true, false]> : tensor<6xi1>
    %9 = stablehlo.constant dense<[true, true, false, true, false, true]> : tensor<6xi1>
    %10 = stablehlo.constant dense<[[[-8.750000000e-01, -6.250000000e-01, -2.500000000e-01, 0.000000000e+00], [-1.125000000e+00, 8.750000000e-01, 5.000000000e-01, -1.500000000e+00], [1.500000000e+00, 1.875000000e+00, 1.125000000e+00, -1.250000000e-01]], [[-1.125000000e+00, 1.000000000e+00, -3.750000000e-01, 1.250000000e+00], [2.500000000e-01, 1.000000000e+00, 3.750000000e-01, 7.500000000e-01], [0.000000000e+00, 1.750000000e+00, 1.250000000e-01, 3.750000000e-01]]]> : tensor<2x3x4xf32>
    %11 = stablehlo.constant dense<[[[0], [2]], [[1], [1]]]> : tensor<2x2x1xi32>
    %12 = stablehlo.constant dense<[[[1.875000000e+00, -1.375000000e+00, -1.250000000e+00, 1.000000000e+00], [-1.125000000e+00, 2.000000000e+00, -3.750000000e-01, -7.500000000e-01]], [[1.875000000e+00, 1.500000000e+00, 1.875000000e+00, 8.750000000e-01], [-8.750000000e-01, 1.875000000e+00, -2.500000000e-01, 7.500000000e-01]]]> : tensor<2x2x4xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12 : tensor<4x5xf32>, tensor<4x5xi32>, tensor<5x2xi32>, tensor<5x2x2xf32>, tensor<5x2x2xi32>, tensor<6xui8>, tensor<6xi64>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<2x2x1xi32>, tensor<2x2x4xf32>
  }
  func.func private @expected() -> (tensor<4x5xf32>, tensor<4x5xf32>, tensor<4x5xi32>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<4x5xf32>) {
    %0 = stablehlo.constant dense<[[1.750000000e+00, 3.750000000e-01, 7.500000000e-01, 6.250000000e-01, 1.875000000e+00], [-1.000000000e+00, 4.062500000e-01, -2.031250000e-01, -8.750000000e-01, 3.750000000e-01], [1.250000000e-01, 3.125000000e-02, 2.187500000e-01, -2.500000000e-01, 0.000000000e+00], [3.750000000e-01, 1.500000000e+00, -2.500000000e-01, 3.125000000e-01, -8.125000000e-01]]> : tensor<4x5xf32>
    %1 = stablehlo.constant dense<[[1.750000000e+00, 3.750000000e-01, 1.000000000e+00, 2.250000000e+00, 1.875000000e+00], [-1.000000000e+00, 1.000000000e+00, -0.000000000e+00, -1.250000000e-01, 3.750000000e-01], [1.250000000e-01, 1.500000000e+00, 7.500000000e-01, 1.250000000e-01, 5.000000000e-01], [3.750000000e-01, 1.500000000e+00, -2.500000000e-01, 3.750000000e-01, -7.500000000e-01]]> : tensor<4x5xf32>
    %2 = stablehlo.constant dense<[[0, -9, 1, -6, 2], [-7, -9, -7, -5, -4], [-3, -1, 8, 6, -5], [0, 1, -8, -8, 1]]> : tensor<4x5xi32>
    %3 = stablehlo.constant dense<[2, 43, 32, 127, 23, 58]> : tensor<6xui8>
    %4 = stablehlo.constant dense<[true, true, true, false, true, true]> : tensor<6xi1>
    %5 = stablehlo.constant dense<[false, true, false, false, true, false]> : tensor<6xi1>
    %6 = stablehlo.constant dense<[[[2.750000000e+00, -7.500000000e-01, -1.000000000e+00, 1.000000000e+00], [-1.125000000e+00, 8.750000000e-01, 5.000000000e-01, -1.500000000e+00], [-2.625000000e+00, 1.250000000e-01, -1.500000000e+00, -6.250000000e-01]], [[-1.125000000e+00, 1.000000000e+00, -3.750000000e-01, 1.250000000e+00], [-2.500000000e+00, 1.375000000e+00, -1.750000000e+00, 6.250000000e-01], [0.000000000e+00, 1.750000000e+00, 1.250000000e-01, 3.750000000e-01]]]> : tensor<2x3x4xf32>
    %7 = stablehlo.constant dense<[[1.750000000e+00, 3.750000000e-01, 1.000000000e+00, 2.250000000e+00, 1.875000000e+00], [-1.000000000e+00, 1.000000000e+00, -1.250000000e-01, -1.250000000e-01, 3.750000000e-01], [1.250000000e-01, 1.500000000e+00, 7.500000000e-01, 1.250000000e-01, 5.000000000e-01], [3.750000000e-01, 1.500000000e+00, -2.500000000e-01, 3.750000000e-01, -8.750000000e-01]]> : tensor<4x5xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7 : tensor<4x5xf32>, tensor<4x5xf32>, tensor<4x5xi32>, tensor<6xui8>, tensor<6xi1>, tensor<6xi1>, tensor<2x3x4xf32>, tensor<4x5xf32>
  }
}
