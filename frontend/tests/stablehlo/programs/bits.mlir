// Bits of elements: parts of them, fewer of them, their neighbours.
module @test {
  func.func public @main() {
    %x:4 = call @inputs() : () -> (tensor<3xf32>, tensor<2x4xui8>, tensor<7xf32>, tensor<2xf64>)
    %want:6 = call @expected() : () -> (tensor<3x4xui8>, tensor<2xf32>, tensor<3xi32>, tensor<7xf32>, tensor<7xf32>, tensor<2xf64>)
    %0 = stablehlo.bitcast_convert %x#0 : (tensor<3xf32>) -> tensor<3x4xui8>
    %1 = stablehlo.bitcast_convert %x#1 : (tensor<2x4xui8>) -> tensor<2xf32>
    %2 = stablehlo.bitcast_convert %x#0 : (tensor<3xf32>) -> tensor<3xi32>
    %3 = stablehlo.reduce_precision %x#2, format = e5m10 : tensor<7xf32>
    %4 = stablehlo.reduce_precision %x#2, format = e8m7 : tensor<7xf32>
    %5 = "stablehlo.reduce_precision"(%x#3) <{exponent_bits = 8 : i32, mantissa_bits = 23 : i32}> : (tensor<2xf64>) -> tensor<2xf64>
    stablehlo.custom_call @check.expect_eq(%0, %want#0) {has_side_effect = true} : (tensor<3x4xui8>, tensor<3x4xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#1) {has_side_effect = true} : (tensor<2xf32>, tensor<2xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<3xi32>, tensor<3xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<7xf32>, tensor<7xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4, %want#4) {has_side_effect = true} : (tensor<7xf32>, tensor<7xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5, %want#5) {has_side_effect = true} : (tensor<2xf64>, tensor<2xf64>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<3xf32>, tensor<2x4xui8>, tensor<7xf32>, tensor<2xf64>) {
    %0 = stablehlo.constant dense<[1.5e+00, -2.25e+00, 1.0e-03]> : tensor<3xf32>
    %1 = stablehlo.constant dense<[[0, 0, 128, 63], [1, 2, 3, 4]]> : tensor<2x4xui8>
    %2 = stablehlo.constant dense<[1.0000001e+00, 7.0e+04, 1.0e-06, -1.0e-09, 1.0e-01, 0x7F800000, 0x7FC00000]> : tensor<7xf32>
    %3 = stablehlo.constant dense<[1.0e-01, 1.0e+300]> : tensor<2xf64>
    return %0, %1, %2, %3 : tensor<3xf32>, tensor<2x4xui8>, tensor<7xf32>, tensor<2xf64>
  }
  func.func private @expected() -> (tensor<3x4xui8>, tensor<2xf32>, tensor<3xi32>, tensor<7xf32>, tensor<7xf32>, tensor<2xf64>) {
    %0 = stablehlo.constant dense<[[0, 0, 192, 63], [0, 0, 16, 192], [111, 18, 131, 58]]> : tensor<3x4xui8>
    %1 = stablehlo.constant dense<[1.0e+00, 1.5399896e-36]> : tensor<2xf32>
    %2 = stablehlo.constant dense<[1069547520, -1072693248, 981668463]> : tensor<3xi32>
    %3 = stablehlo.constant dense<[1.0e+00, 0x7F800000, 0.0e+00, -0.0e+00, 9.9975586e-02, 0x7F800000, 0x7FC00000]> : tensor<7xf32>
    %4 = stablehlo.constant dense<[1.0e+00, 7.0144e+04, 9.983778e-07, -9.968062e-10, 1.00097656e-01, 0x7F800000, 0x7FC00000]> : tensor<7xf32>
    %5 = stablehlo.constant dense<[1.0000000149011612e-01, 0x7FF0000000000000]> : tensor<2xf64>
    return %0, %1, %2, %3, %4, %5 : tensor<3x4xui8>, tensor<2xf32>, tensor<3xi32>, tensor<7xf32>, tensor<7xf32>, tensor<2xf64>
  }
}
