// SPDX-License-Identifier: MIT
// Single-cycle 32x32 multiplier for MUL, MULH, MULHSU and MULHU. Combinational.
//
// Operands have 33 bits, the first of which is the sign or zero, so one signed multiplier serves
// every mix of signs. Bits 65 and 64 of the product only repeat its sign and are left out.
module esp_mul (
  input  logic        valid_i,
  input  logic [1:0]  funct_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] result_o
);

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic signed [32:0] a;
    logic signed [32:0] b;
    logic signed [63:0] product;
    a = '0;
    b = '0;
    product = '0;
    result_o = '0;
    if (valid_i) begin
      a = {a_i[31] & (funct_i != 2'd3), a_i};
      b = {b_i[31] & ~funct_i[1], b_i};
      product = a * b;
      result_o = funct_i == 2'd0 ? product[31:0] : product[63:32];
    end
  end

endmodule
