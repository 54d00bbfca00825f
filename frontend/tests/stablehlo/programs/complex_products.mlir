// A running product of complex numbers, rounded as XLA rounds it (JAX 0.10.2).
module @test {
  func.func public @main() {
    %x = call @inputs() : () -> tensor<6x3xcomplex<f32>>
    %want = call @expected() : () -> tensor<6x3xcomplex<f32>>
    %one = stablehlo.constant dense<(1.0,0.0)> : tensor<complex<f32>>
    %0 = "stablehlo.reduce_window"(%x, %one) <{padding = dense<[[5, 0], [0, 0]]> : tensor<2x2xi64>, window_dimensions = array<i64: 6, 1>}> ({
    ^bb0(%a: tensor<complex<f32>>, %b: tensor<complex<f32>>):
      %m = stablehlo.multiply %a, %b : tensor<complex<f32>>
      stablehlo.return %m : tensor<complex<f32>>
    }) : (tensor<6x3xcomplex<f32>>, tensor<complex<f32>>) -> tensor<6x3xcomplex<f32>>
    stablehlo.custom_call @check.expect_almost_eq(%0, %want) {has_side_effect = true} : (tensor<6x3xcomplex<f32>>, tensor<6x3xcomplex<f32>>) -> ()
    return
  }
  func.func private @inputs() -> tensor<6x3xcomplex<f32>> {
    %x = stablehlo.constant dense<"0x193D213B445B73C02DF5183F930F25C0CC5B0CBFF9BD6BC0D4FDE3BFBBBBF0BE9CCA68BFB03B22C08CDCFDBF29E30A3F2359F63D5B83A03E2C8C2B40D36ABFBE7E027CBF9712A1C071D79EBFC7E789BF94CC7A3FEDA8C6BDE5B9363F8B0E683E6DE3573E7DDB43C02733EEBF149C74BF85A16FBD3A80FABF64FFB13FF50FCFBF390F2CC087CB07409D4C6ABF98BACEBF"> : tensor<6x3xcomplex<f32>>
    return %x : tensor<6x3xcomplex<f32>>
  }
  func.func private @expected() -> tensor<6x3xcomplex<f32>> {
    %x = stablehlo.constant dense<"0x193D213B445B73C02DF5183F930F25C0CC5B0CBFF9BD6BC09E67E5BFBEB1D8409697E2C0C0A7543F6A7D45401641E0405EAA15C0905F813E4B5B95C112F79B40A2F20042C772B3C186264B40E42D0D40428A8EC180BFD240D1BEE0419A480BC13B70ED4096FB13C1E5CC1D426D9A9840A97095C167E159C2AD9794C0DBEAC6C1C95AE8C2CEC48D42C3C08DC2690BA042"> : tensor<6x3xcomplex<f32>>
    return %x : tensor<6x3xcomplex<f32>>
  }
}
