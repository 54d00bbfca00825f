// Batch normalisation (expectations by derivatives of its definition), sums by letters, selection by numbers.
module @test {
  func.func public @main() {
    %x:9 = call @inputs() : () -> (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4x5xf32>, tensor<4xi32>, tensor<2x2xi64>)
    %want:12 = call @expected() : () -> (tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x2x3xf32>, tensor<2x3xf32>, tensor<4x2xf32>, tensor<2x4x4xf32>, tensor<2x2x4xf32>)
    %y0 = "stablehlo.batch_norm_inference"(%x#0, %x#1, %x#2, %x#3, %x#4) <{epsilon = 1.250000e-01 : f32, feature_index = 2 : i64}> : (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<2x3x4xf32>
    %y1, %y2, %y3 = "stablehlo.batch_norm_training"(%x#0, %x#1, %x#2) <{epsilon = 1.250000e-01 : f32, feature_index = 2 : i64}> : (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>)
    %y4, %y5, %y6 = "stablehlo.batch_norm_grad"(%x#0, %x#1, %y2, %y3, %x#5) <{epsilon = 1.250000e-01 : f32, feature_index = 2 : i64}> : (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>)
    %y7 = stablehlo.einsum %x#0, %x#6, config = "abc,cd->dab" : (tensor<2x3x4xf32>, tensor<4x5xf32>) -> tensor<5x2x3xf32>
    %y8 = "stablehlo.einsum"(%x#0, %x#5) <{einsum_config = "abc,aec->ab"}> : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3xf32>
    %y9 = stablehlo.unary_einsum %x#0, config = "abc->ca" : (tensor<2x3x4xf32>) -> tensor<4x2xf32>
    %y10 = "stablehlo.torch_index_select"(%x#0, %x#7) <{batch_dims = 0 : i64, dim = 1 : i64}> : (tensor<2x3x4xf32>, tensor<4xi32>) -> tensor<2x4x4xf32>
    %y11 = "stablehlo.torch_index_select"(%x#0, %x#8) <{batch_dims = 1 : i64, dim = 1 : i64}> : (tensor<2x3x4xf32>, tensor<2x2xi64>) -> tensor<2x2x4xf32>
    stablehlo.custom_call @check.expect_almost_eq(%y0, %want#0) {has_side_effect = true} : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y1, %want#1) {has_side_effect = true} : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y2, %want#2) {has_side_effect = true} : (tensor<4xf32>, tensor<4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y3, %want#3) {has_side_effect = true} : (tensor<4xf32>, tensor<4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y4, %want#4) {has_side_effect = true} : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y5, %want#5) {has_side_effect = true} : (tensor<4xf32>, tensor<4xf32>) -> ()
    stablehlo.custom_call @check.expect_almost_eq(%y6, %want#6) {has_side_effect = true} : (tensor<4xf32>, tensor<4xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y7, %want#7) {has_side_effect = true} : (tensor<5x2x3xf32>, tensor<5x2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y8, %want#8) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y9, %want#9) {has_side_effect = true} : (tensor<4x2xf32>, tensor<4x2xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y10, %want#10) {has_side_effect = true} : (tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y11, %want#11) {has_side_effect = true} : (tensor<2x2x4xf32>, tensor<2x2x4xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4x5xf32>, tensor<4xi32>, tensor<2x2xi64>) {
    %0 = stablehlo.constant dense<[[[-2.500000000e-01, -5.000000000e-01, 5.000000000e-01, -7.500000000e-01], [-8.750000000e-01, 5.000000000e-01, 2.500000000e+00, -2.500000000e-01], [-5.000000000e-01, -1.125000000e+00, -1.375000000e+00, 5.000000000e-01]], [[8.750000000e-01, 0.000000000e+00, 3.750000000e-01, 1.250000000e-01], [1.250000000e-01, -1.500000000e+00, -5.000000000e-01, 1.250000000e-01], [-7.500000000e-01, -5.000000000e-01, -8.750000000e-01, -3.750000000e-01]]]> : tensor<2x3x4xf32>
    %1 = stablehlo.constant dense<[8.750000000e-01, -3.750000000e-01, -1.250000000e-01, 8.750000000e-01]> : tensor<4xf32>
    %2 = stablehlo.constant dense<[6.250000000e-01, 1.750000000e+00, -2.125000000e+00, 8.750000000e-01]> : tensor<4xf32>
    %3 = stablehlo.constant dense<[-5.000000000e-01, 1.250000000e-01, 8.750000000e-01, 1.125000000e+00]> : tensor<4xf32>
    %4 = stablehlo.constant dense<[1.500000000e+00, 6.250000000e-01, 2.125000000e+00, 7.500000000e-01]> : tensor<4xf32>
    %5 = stablehlo.constant dense<[[[-1.250000000e-01, 7.500000000e-01, -5.000000000e-01, 2.125000000e+00], [1.000000000e+00, 2.125000000e+00, -0.000000000e+00, -3.750000000e-01], [1.250000000e-01, 7.500000000e-01, -6.250000000e-01, 3.750000000e-01]], [[-0.000000000e+00, 1.625000000e+00, -6.250000000e-01, 1.000000000e+00], [-6.250000000e-01, -1.000000000e+00, -7.500000000e-01, -1.250000000e+00], [1.250000000e-01, 1.000000000e+00, 1.250000000e-01, 6.250000000e-01]]]> : tensor<2x3x4xf32>
    %6 = stablehlo.constant dense<[[1.625000000e+00, 2.500000000e-01, 2.500000000e-01, -2.500000000e-01, -1.625000000e+00], [7.500000000e-01, -1.750000000e+00, 6.250000000e-01, -0.000000000e+00, 1.125000000e+00], [-1.250000000e-01, -8.750000000e-01, 3.750000000e-01, -5.000000000e-01, -1.250000000e-01], [0.000000000e+00, -1.250000000e-01, -2.500000000e-01, -8.750000000e-01, -2.500000000e-01]]> : tensor<4x5xf32>
    %7 = stablehlo.constant dense<[2, 0, 2, 1]> : tensor<4xi32>
    %8 = stablehlo.constant dense<[[1, 0], [2, 2]]> : tensor<2x2xi64>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8 : tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4x5xf32>, tensor<4xi32>, tensor<2x2xi64>
  }
  func.func private @expected() -> (tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x2x3xf32>, tensor<2x3xf32>, tensor<4x2xf32>, tensor<2x4x4xf32>, tensor<2x2x4xf32>) {
    %0 = stablehlo.constant dense<[[[7.966015935e-01, 2.020632982e+00, -2.093750000e+00, -8.789018989e-01], [3.675975800e-01, 1.587620258e+00, -2.260416746e+00, -4.111947119e-01], [6.250000000e-01, 2.291265965e+00, -1.937500000e+00, 2.903660238e-01]], [[1.568808913e+00, 1.804126620e+00, -2.083333254e+00, -6.041434780e-02], [1.054004073e+00, 2.453645706e+00, -2.010416746e+00, -6.041434780e-02], [4.533983767e-01, 2.020632982e+00, -1.979166627e+00, -5.281215310e-01]]]> : tensor<2x3x4xf32>
    %1 = stablehlo.constant dense<[[[5.985817313e-01, 1.739603400e+00, -2.162889719e+00, -1.768623888e-01], [-1.939670593e-01, 1.240565062e+00, -2.354333162e+00, 6.374827027e-01], [2.815622091e-01, 2.051502228e+00, -1.983411670e+00, 1.859000325e+00]], [[2.025169373e+00, 1.490084291e+00, -2.150924683e+00, 1.248241544e+00], [1.074110985e+00, 2.238641739e+00, -2.067168236e+00, 1.248241544e+00], [-3.545730561e-02, 1.739603400e+00, -2.031272650e+00, 4.338964224e-01]]]> : tensor<2x3x4xf32>
    %2 = stablehlo.constant dense<[-2.291666716e-01, -5.208333135e-01, 1.041666642e-01, -1.041666642e-01]> : tensor<4xf32>
    %3 = stablehlo.constant dense<[3.511284590e-01, 4.396701455e-01, 1.580295086e+00, 1.636284739e-01]> : tensor<4xf32>
    %4 = stablehlo.constant dense<[[[-2.730933726e-01, 7.335978001e-02, 1.325948443e-02, 1.981981158e+00], [8.861807585e-01, -8.577819914e-02, -1.798587851e-02, -1.470107198e+00], [-6.299931556e-02, -2.560400069e-01, 9.647691622e-03, 6.808659434e-01]], [[3.665809035e-01, -9.977888316e-02, 2.418622561e-02, 1.234069586e+00], [-7.467442155e-01, 4.196371138e-01, 2.888216637e-02, -2.430483341e+00], [-1.699247658e-01, -5.139979348e-02, -5.798969045e-02, 3.673737170e-03]]]> : tensor<2x3x4xf32>
    %5 = stablehlo.constant dense<[-1.396395445e+00, 4.761656761e+00, 6.800226569e-01, -2.452729702e+00]> : tensor<4xf32>
    %6 = stablehlo.constant dense<[5.000000000e-01, 5.250000000e+00, -2.375000000e+00, 2.500000000e+00]> : tensor<4xf32>
    %7 = stablehlo.constant dense<[[[-8.437500000e-01, -1.359375000e+00, -1.484375000e+00], [1.375000000e+00, -8.593750000e-01, -1.484375000e+00]], [[4.687500000e-01, -3.250000000e+00, 2.984375000e+00], [-1.250000000e-01, 3.078125000e+00, 1.500000000e+00]], [[0.000000000e+00, 1.093750000e+00, -1.468750000e+00], [3.281250000e-01, -1.125000000e+00, -7.343750000e-01]], [[4.687500000e-01, -8.125000000e-01, 3.750000000e-01], [-5.156250000e-01, 1.093750000e-01, 9.531250000e-01]], [[-3.125000000e-02, 1.734375000e+00, -4.062500000e-01], [-1.500000000e+00, -1.859375000e+00, 8.593750000e-01]]]> : tensor<5x2x3xf32>
    %8 = stablehlo.constant dense<[[-4.218750000e+00, -2.406250000e+00, -1.968750000e+00], [-8.593750000e-01, -1.828125000e+00, 5.156250000e-01]]> : tensor<2x3xf32>
    %9 = stablehlo.constant dense<[[-1.625000000e+00, 2.500000000e-01], [-1.125000000e+00, -2.000000000e+00], [1.625000000e+00, -1.000000000e+00], [-5.000000000e-01, -1.250000000e-01]]> : tensor<4x2xf32>
    %10 = stablehlo.constant dense<[[[-5.000000000e-01, -1.125000000e+00, -1.375000000e+00, 5.000000000e-01], [-2.500000000e-01, -5.000000000e-01, 5.000000000e-01, -7.500000000e-01], [-5.000000000e-01, -1.125000000e+00, -1.375000000e+00, 5.000000000e-01], [-8.750000000e-01, 5.000000000e-01, 2.500000000e+00, -2.500000000e-01]], [[-7.500000000e-01, -5.000000000e-01, -8.750000000e-01, -3.750000000e-01], [8.750000000e-01, 0.000000000e+00, 3.750000000e-01, 1.250000000e-01], [-7.500000000e-01, -5.000000000e-01, -8.750000000e-01, -3.750000000e-01], [1.250000000e-01, -1.500000000e+00, -5.000000000e-01, 1.250000000e-01]]]> : tensor<2x4x4xf32>
    %11 = stablehlo.constant dense<[[[-8.750000000e-01, 5.000000000e-01, 2.500000000e+00, -2.500000000e-01], [-2.500000000e-01, -5.000000000e-01, 5.000000000e-01, -7.500000000e-01]], [[-7.500000000e-01, -5.000000000e-01, -8.750000000e-01, -3.750000000e-01], [-7.500000000e-01, -5.000000000e-01, -8.750000000e-01, -3.750000000e-01]]]> : tensor<2x2x4xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11 : tensor<2x3x4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x3x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x2x3xf32>, tensor<2x3xf32>, tensor<4x2xf32>, tensor<2x4x4xf32>, tensor<2x2x4xf32>
  }
}
