// Elementwise ops that are composed, and the two forms of an op.
module @test {
  func.func public @main() {
    %x:5 = call @inputs() : () -> (tensor<8xf32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>)
    %want:10 = call @expected() : () -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<4xi32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>, tensor<8xi1>, tensor<8xi1>)
    %0 = stablehlo.round_nearest_afz %x#0 : tensor<8xf32>
    %1 = "stablehlo.sign"(%x#0) : (tensor<8xf32>) -> tensor<8xf32>
    %low = stablehlo.constant dense<-1.0> : tensor<f32>
    %high = stablehlo.constant dense<1.25> : tensor<f32>
    %2 = stablehlo.clamp %low, %x#0, %high : (tensor<f32>, tensor<8xf32>, tensor<f32>) -> tensor<8xf32>
    %3 = stablehlo.count_leading_zeros %x#1 : tensor<4xi32>
    %4 = stablehlo.popcnt %x#1 : tensor<4xi32>
    %5 = stablehlo.popcnt %x#2 : tensor<4xui8>
    %6 = stablehlo.add %x#3, %x#4 : tensor<3xi1>
    %7 = stablehlo.multiply %x#3, %x#4 : tensor<3xi1>
    %8 = "stablehlo.compare"(%x#0, %x#0) <{compare_type = #stablehlo<comparison_type FLOAT>, comparison_direction = #stablehlo<comparison_direction NE>}> : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xi1>
    %9 = stablehlo.compare LT, %x#0, %2, TOTALORDER : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xi1>
    stablehlo.custom_call @check.expect_eq(%0, %want#0) {has_side_effect = true} : (tensor<8xf32>, tensor<8xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%1, %want#1) {has_side_effect = true} : (tensor<8xf32>, tensor<8xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%2, %want#2) {has_side_effect = true} : (tensor<8xf32>, tensor<8xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%3, %want#3) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%4, %want#4) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%5, %want#5) {has_side_effect = true} : (tensor<4xui8>, tensor<4xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%6, %want#6) {has_side_effect = true} : (tensor<3xi1>, tensor<3xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%7, %want#7) {has_side_effect = true} : (tensor<3xi1>, tensor<3xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%8, %want#8) {has_side_effect = true} : (tensor<8xi1>, tensor<8xi1>) -> ()
    stablehlo.custom_call @check.expect_eq(%9, %want#9) {has_side_effect = true} : (tensor<8xi1>, tensor<8xi1>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<8xf32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>) {
    %0 = stablehlo.constant dense<[-2.5e+00, -1.5e+00, -5.0e-01, -0.0e+00, 5.0e-01, 1.5e+00, 2.5e+00, 0x7FC00000]> : tensor<8xf32>
    %1 = stablehlo.constant dense<[0, 1, -1, 40]> : tensor<4xi32>
    %2 = stablehlo.constant dense<[0, 3, 255, 64]> : tensor<4xui8>
    %3 = stablehlo.constant dense<[true, false, true]> : tensor<3xi1>
    %4 = stablehlo.constant dense<[true, true, false]> : tensor<3xi1>
    return %0, %1, %2, %3, %4 : tensor<8xf32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>
  }
  func.func private @expected() -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<4xi32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>, tensor<8xi1>, tensor<8xi1>) {
    %0 = stablehlo.constant dense<[-3.0e+00, -2.0e+00, -1.0e+00, -0.0e+00, 1.0e+00, 2.0e+00, 3.0e+00, 0x7FC00000]> : tensor<8xf32>
    %1 = stablehlo.constant dense<[-1.0e+00, -1.0e+00, -1.0e+00, -0.0e+00, 1.0e+00, 1.0e+00, 1.0e+00, 0x7FC00000]> : tensor<8xf32>
    %2 = stablehlo.constant dense<[-1.0e+00, -1.0e+00, -5.0e-01, -0.0e+00, 5.0e-01, 1.25e+00, 1.25e+00, 0x7FC00000]> : tensor<8xf32>
    %3 = stablehlo.constant dense<[32, 31, 0, 26]> : tensor<4xi32>
    %4 = stablehlo.constant dense<[0, 1, 32, 2]> : tensor<4xi32>
    %5 = stablehlo.constant dense<[0, 2, 8, 1]> : tensor<4xui8>
    %6 = stablehlo.constant dense<[true, true, true]> : tensor<3xi1>
    %7 = stablehlo.constant dense<[true, false, false]> : tensor<3xi1>
    %8 = stablehlo.constant dense<[false, false, false, false, false, false, false, true]> : tensor<8xi1>
    %9 = stablehlo.constant dense<[true, true, false, false, false, false, false, false]> : tensor<8xi1>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<4xi32>, tensor<4xi32>, tensor<4xui8>, tensor<3xi1>, tensor<3xi1>, tensor<8xi1>, tensor<8xi1>
  }
}
