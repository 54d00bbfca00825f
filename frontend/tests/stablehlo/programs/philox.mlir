// Random bits of Philox, of states of two and of three numbers, where counts carry.
module @test {
  func.func public @main() {
    %x:2 = call @inputs() : () -> (tensor<2xui64>, tensor<3xui64>)
    %want:9 = call @expected() : () -> (tensor<2xui64>, tensor<3x5xui32>, tensor<3xui64>, tensor<7xui64>, tensor<6xui8>, tensor<3xui64>, tensor<2x2xui16>, tensor<ui64>, tensor<9xui32>)
    %a:2 = stablehlo.rng_bit_generator %x#0, algorithm = PHILOX : (tensor<2xui64>) -> (tensor<2xui64>, tensor<3x5xui32>)
    %b:2 = stablehlo.rng_bit_generator %x#1, algorithm = PHILOX : (tensor<3xui64>) -> (tensor<3xui64>, tensor<7xui64>)
    %c:2 = stablehlo.rng_bit_generator %x#0, algorithm = PHILOX : (tensor<2xui64>) -> (tensor<2xui64>, tensor<6xui8>)
    %d:2 = stablehlo.rng_bit_generator %x#1, algorithm = PHILOX : (tensor<3xui64>) -> (tensor<3xui64>, tensor<2x2xui16>)
    %e:2 = stablehlo.rng_bit_generator %x#0, algorithm = PHILOX : (tensor<2xui64>) -> (tensor<2xui64>, tensor<ui64>)
    %f:2 = stablehlo.rng_bit_generator %x#0, algorithm = DEFAULT : (tensor<2xui64>) -> (tensor<2xui64>, tensor<9xui32>)
    stablehlo.custom_call @check.expect_eq(%a#0, %want#0) {has_side_effect = true} : (tensor<2xui64>, tensor<2xui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%a#1, %want#1) {has_side_effect = true} : (tensor<3x5xui32>, tensor<3x5xui32>) -> ()
    stablehlo.custom_call @check.expect_eq(%b#0, %want#2) {has_side_effect = true} : (tensor<3xui64>, tensor<3xui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%b#1, %want#3) {has_side_effect = true} : (tensor<7xui64>, tensor<7xui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%c#1, %want#4) {has_side_effect = true} : (tensor<6xui8>, tensor<6xui8>) -> ()
    stablehlo.custom_call @check.expect_eq(%d#0, %want#5) {has_side_effect = true} : (tensor<3xui64>, tensor<3xui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%d#1, %want#6) {has_side_effect = true} : (tensor<2x2xui16>, tensor<2x2xui16>) -> ()
    stablehlo.custom_call @check.expect_eq(%e#1, %want#7) {has_side_effect = true} : (tensor<ui64>, tensor<ui64>) -> ()
    stablehlo.custom_call @check.expect_eq(%f#1, %want#8) {has_side_effect = true} : (tensor<9xui32>, tensor<9xui32>) -> ()
    return
  }
  func.func private @inputs() -> (tensor<2xui64>, tensor<3xui64>) {
    %0 = stablehlo.constant dense<[1311768467294899695, 18446744073709551614]> : tensor<2xui64>
    %1 = stablehlo.constant dense<[7, 18446744073709551615, 5]> : tensor<3xui64>
    return %0, %1 : tensor<2xui64>, tensor<3xui64>
  }
  func.func private @expected() -> (tensor<2xui64>, tensor<3x5xui32>, tensor<3xui64>, tensor<7xui64>, tensor<6xui8>, tensor<3xui64>, tensor<2x2xui16>, tensor<ui64>, tensor<9xui32>) {
    %0 = stablehlo.constant dense<[1311768467294899695, 2]> : tensor<2xui64>
    %1 = stablehlo.constant dense<[[1012569616, 1073537005, 1010938767, 2118386285, 1071378773], [931530424, 4244548240, 3661923330, 2590213835, 3593487232], [2338737560, 2348207565, 2764244842, 4206287005, 389617802]]> : tensor<3x5xui32>
    %2 = stablehlo.constant dense<[7, 3, 6]> : tensor<3xui64>
    %3 = stablehlo.constant dense<[18390195005874446273, 13394466077198894183, 12555307977505995268, 6337403814502556368, 18238163467448044864, 8442807621819038452, 16778998166917987496]> : tensor<7xui64>
    %4 = stablehlo.constant dense<[16, 237, 143, 109, 85, 184]> : tensor<6xui8>
    %5 = stablehlo.constant dense<[7, 0, 6]> : tensor<3xui64>
    %6 = stablehlo.constant dense<[[8129, 6380], [50279, 46062]]> : tensor<2x2xui16>
    %7 = stablehlo.constant dense<4610806328533358096> : tensor<ui64>
    %8 = stablehlo.constant dense<[1012569616, 1073537005, 1010938767, 2118386285, 1071378773, 931530424, 4244548240, 3661923330, 2590213835]> : tensor<9xui32>
    return %0, %1, %2, %3, %4, %5, %6, %7, %8 : tensor<2xui64>, tensor<3x5xui32>, tensor<3xui64>, tensor<7xui64>, tensor<6xui8>, tensor<3xui64>, tensor<2x2xui16>, tensor<ui64>, tensor<9xui32>
  }
}
