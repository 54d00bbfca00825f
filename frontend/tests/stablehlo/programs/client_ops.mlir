// Ops of CHLO beyond the elementwise ones.
module @test {
  func.func public @main() {
    %x:12 = call @inputs() : () -> (tensor<5xi8>, tensor<5xi8>, tensor<4xi32>, tensor<4xi32>, tensor<4xui64>, tensor<4xui64>, tensor<4xi64>, tensor<4xi64>, tensor<4xf64>, tensor<4xf64>, tensor<2x3xf32>, tensor<3xf32>)
    %want:12 = call @expected() : () -> (tensor<5xi8>, tensor<4xi32>, tensor<4xui64>, tensor<4xi64>, tensor<4xf64>, tensor<2x3xf32>, tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2xf32>, tensor<3xf32>)
    %y0 = chlo.mulhi %x#0, %x#1 : tensor<5xi8>, tensor<5xi8> -> tensor<5xi8>
    %y1 = chlo.mulhi %x#2, %x#3 : tensor<4xi32>, tensor<4xi32> -> tensor<4xi32>
    %y2 = chlo.mulhi %x#4, %x#5 : tensor<4xui64>, tensor<4xui64> -> tensor<4xui64>
    %y3 = chlo.mulhi %x#6, %x#7 : tensor<4xi64>, tensor<4xi64> -> tensor<4xi64>
    %y4 = chlo.polygamma %x#8, %x#9 : tensor<4xf64>, tensor<4xf64> -> tensor<4xf64>
    %y5 = chlo.broadcast_add %x#10, %x#11 : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
    %y6 = chlo.broadcast_compare %x#10, %x#11 {compare_type = #chlo<comparison_type FLOAT>, comparison_direction = #chlo<comparison_direction EQ>} : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xi1>
    %y7 = chlo.broadcast_select %y6, %x#10, %x#11 : (tensor<2x3xi1>, tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
    %y8 = "chlo.constant_like"(%x#10) <{value = 3.250000e+00 : f32}> : (tensor<2x3xf32>) -> tensor<2x3xf32>
    %y9 = chlo.broadcast_subtract %x#11, %x#10 {broadcast_dimensions = array<i64: 1>} : (tensor<3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    %y10 = chlo.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
    %y11 = stablehlo.exponential %x#11 {result_accuracy = #stablehlo.result_accuracy<atol = 1.000000e-05, ulps = 1, mode = #stablehlo.result_accuracy_mode<TOLERANCE>>} : tensor<3xf32>
    stablehlo.custom_call @check.expect_eq(%y0, %want#0) {has_side_effect = true} : (tensor<5xi8>, tensor<5xi8>) -> ()
    stablehlo.custom_call @check.expect_eq(%y1, %want#1) {has_side_effect = true} : (tensor<4xi32>, tensor<4xi32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y2, %want#2) {has_side_effect = true} : (tensor<4xui64>, tensor<4xui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%y3, %want#3) {has_side_effect = true} : (tensor<4xi64>, tensor<4xi64>) -> ()
    stablehlo.custom_call @check.expect_close(%y4, %want#4) {has_side_effect = true} : (tensor<4xf64>, tensor<4xf64>) -> ()
    stablehlo.custom_call @check.expect_close(%y5, %want#5) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_eq(%y6, %want#6) {has_side_effect = true} : (tensor<2x3xi1>, tensor<2x3xi1>) -> ()
    stablehlo.custom_call @check.expect_close(%y7, %want#7) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y8, %want#8) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y9, %want#9) {has_side_effect = true} : (tensor<2x3xf32>, tensor<2x3xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y10, %want#10) {has_side_effect = true} : (tensor<2xf32>, tensor<2xf32>) -> ()
    stablehlo.custom_call @check.expect_close(%y11, %want#11) {has_side_effect = true} : (tensor<3xf32>, tensor<3xf32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<5xi8>, tensor<5xi8>, tensor<4xi32>, tensor<4xi32>, tensor<4xui64>, tensor<4xui64>, tensor<4xi64>, tensor<4xi64>, tensor<4xf64>, tensor<4xf64>, tensor<2x3xf32>, tensor<3xf32>) {
    %0 = stablehlo.constant dense<[127, -128, 5, -77, -1]> : tensor<5xi8>
    %1 = stablehlo.constant dense<[3, -128, 100, -2, -1]> : tensor<5xi8>
    %2 = stablehlo.constant dense<[2147483647, -2147483648, 123456789, -5]> : tensor<4xi32>
    %3 = stablehlo.constant dense<[2147483647, -2147483648, -987654321, 7]> : tensor<4xi32>
    %4 = stablehlo.constant dense<[18446744073709551615, 9223372036854775808, 12345678901234567, 3]> : tensor<4xui64>
    %5 = stablehlo.constant dense<[18446744073709551615, 3, 98765432109876543, 5]> : tensor<4xui64>
    %6 = stablehlo.constant dense<[9223372036854775807, -9223372036854775808, -12345678901234567, -3]> : tensor<4xi64>
    %7 = stablehlo.constant dense<[9223372036854775807, -9223372036854775808, 98765432109876543, 5]> : tensor<4xi64>
    %8 = stablehlo.constant dense<[0.00000000000000000e+00, 1.00000000000000000e+00, 2.00000000000000000e+00, 5.00000000000000000e+00]> : tensor<4xf64>
    %9 = stablehlo.constant dense<[5.00000000000000000e-01, 1.25000000000000000e+00, 3.00000000000000000e+00, 2.00000000000000000e+00]> : tensor<4xf64>
    %10 = stablehlo.constant dense<[[1.25000000000000000e-01, -1.25000000000000000e-01, -1.25000000000000000e+00], [1.12500000000000000e+00, 1.25000000000000000e+00, -2.00000000000000000e+00]]> : tensor<2x3xf32>
    %11 = stablehlo.constant dense<[1.25000000000000000e-01, -1.25000000000000000e-01, -1.00000000000000000e+00]> : tensor<3xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11 : tensor<5xi8>, tensor<5xi8>, tensor<4xi32>, tensor<4xi32>, tensor<4xui64>, tensor<4xui64>, tensor<4xi64>, tensor<4xi64>, tensor<4xf64>, tensor<4xf64>, tensor<2x3xf32>, tensor<3xf32>
  }
  func.func private @expected() -> (tensor<5xi8>, tensor<4xi32>, tensor<4xui64>, tensor<4xi64>, tensor<4xf64>, tensor<2x3xf32>, tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2xf32>, tensor<3xf32>) {
    %0 = stablehlo.constant dense<[1, 64, 1, 0, 0]> : tensor<5xi8>
    %1 = stablehlo.constant dense<[1073741823, 1073741824, -28389653, -1]> : tensor<4xi32>
    %2 = stablehlo.constant dense<[18446744073709551614, 1, 66099811787816, 0]> : tensor<4xui64>
    %3 = stablehlo.constant dense<[4611686018427387903, 4611686018427387904, -66099811787817, -1]> : tensor<4xi64>
    %4 = stablehlo.constant dense<[-1.96351002602142355e+00, 1.19732915450711097e+00, -1.54113806319188557e-01, 2.08116743813389649e+00]> : tensor<4xf64>
    %5 = stablehlo.constant dense<[[2.50000000000000000e-01, -2.50000000000000000e-01, -2.25000000000000000e+00], [1.25000000000000000e+00, 1.12500000000000000e+00, -3.00000000000000000e+00]]> : tensor<2x3xf32>
    %6 = stablehlo.constant dense<[[true, true, false], [false, false, false]]> : tensor<2x3xi1>
    %7 = stablehlo.constant dense<[[1.25000000000000000e-01, -1.25000000000000000e-01, -1.00000000000000000e+00], [1.25000000000000000e-01, -1.25000000000000000e-01, -1.00000000000000000e+00]]> : tensor<2x3xf32>
    %8 = stablehlo.constant dense<[[3.25000000000000000e+00, 3.25000000000000000e+00, 3.25000000000000000e+00], [3.25000000000000000e+00, 3.25000000000000000e+00, 3.25000000000000000e+00]]> : tensor<2x3xf32>
    %9 = stablehlo.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 2.50000000000000000e-01], [-1.00000000000000000e+00, -1.37500000000000000e+00, 1.00000000000000000e+00]]> : tensor<2x3xf32>
    %10 = stablehlo.constant dense<[1.00000000000000000e+00, 2.00000000000000000e+00]> : tensor<2xf32>
    %11 = stablehlo.constant dense<[1.13314843177795410e+00, 8.82496893405914307e-01, 3.67879450321197510e-01]> : tensor<3xf32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11 : tensor<5xi8>, tensor<4xi32>, tensor<4xui64>, tensor<4xi64>, tensor<4xf64>, tensor<2x3xf32>, tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2xf32>, tensor<3xf32>
  }
}
