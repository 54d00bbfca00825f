module @jit_f attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<2x4xf32>) -> (tensor<2x3xf32> {jax.result_info = "result"}) {
    %cst = stablehlo.constant dense<[[1.000000e+00, -8.750000e-01, -7.500000e-01, -1.125000e+00, -8.750000e-01, 6.250000e-01], [7.500000e-01, -1.000000e+00, 1.625000e+00, -1.875000e+00, -1.250000e+00, 1.250000e-01], [-1.125000e+00, 2.500000e-01, 1.750000e+00, 5.000000e-01, 6.250000e-01, -5.000000e-01], [8.750000e-01, 3.750000e-01, -6.250000e-01, -8.750000e-01, 7.500000e-01, 1.125000e+00]]> : tensor<4x6xf32>
    %cst_0 = stablehlo.constant dense<[-2.500000e+00, -2.000000e+00, 2.500000e-01, -3.750000e-01, -7.500000e-01, -1.125000e+00]> : tensor<6xf32>
    %cst_1 = stablehlo.constant dense<[[1.250000e+00, 1.375000e+00, -3.750000e-01], [-7.500000e-01, 3.750000e-01, 0.000000e+00], [6.250000e-01, -7.500000e-01, 2.500000e-01], [-1.500000e+00, -8.750000e-01, 1.750000e+00], [-1.000000e+00, -3.750000e-01, 8.750000e-01], [1.250000e+00, -1.250000e-01, -8.750000e-01]]> : tensor<6x3xf32>
    %0 = stablehlo.dot_general %arg0, %cst, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x4xf32>, tensor<4x6xf32>) -> tensor<2x6xf32>
    %1 = stablehlo.broadcast_in_dim %cst_0, dims = [1] : (tensor<6xf32>) -> tensor<1x6xf32>
    %2 = stablehlo.broadcast_in_dim %1, dims = [0, 1] : (tensor<1x6xf32>) -> tensor<2x6xf32>
    %3 = stablehlo.add %0, %2 : tensor<2x6xf32>
    %4 = stablehlo.tanh %3 : tensor<2x6xf32>
    %5 = stablehlo.dot_general %4, %cst_1, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x6xf32>, tensor<6x3xf32>) -> tensor<2x3xf32>
    %cst_2 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %6 = stablehlo.reduce(%5 init: %cst_2) applies stablehlo.maximum across dimensions = [1] : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
    %cst_3 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %7 = stablehlo.broadcast_in_dim %cst_3, dims = [] : (tensor<f32>) -> tensor<2xf32>
    %8 = stablehlo.maximum %7, %6 : tensor<2xf32>
    %9 = stablehlo.broadcast_in_dim %8, dims = [0] : (tensor<2xf32>) -> tensor<2x1xf32>
    %10 = stablehlo.broadcast_in_dim %9, dims = [0, 1] : (tensor<2x1xf32>) -> tensor<2x3xf32>
    %11 = stablehlo.subtract %5, %10 : tensor<2x3xf32>
    %12 = stablehlo.exponential %11 : tensor<2x3xf32>
    %cst_4 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %13 = stablehlo.reduce(%12 init: %cst_4) applies stablehlo.add across dimensions = [1] : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
    %14 = stablehlo.broadcast_in_dim %13, dims = [0] : (tensor<2xf32>) -> tensor<2x1xf32>
    %15 = stablehlo.broadcast_in_dim %14, dims = [0, 1] : (tensor<2x1xf32>) -> tensor<2x3xf32>
    %16 = stablehlo.divide %12, %15 : tensor<2x3xf32>
    return %16 : tensor<2x3xf32>
  }
}
