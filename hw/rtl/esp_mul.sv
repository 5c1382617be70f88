// Single-cycle 32x32 multiplier for MUL, MULH, MULHSU and MULHU. Combinational.
//
// Both operands are extended to 64 bits; the low 64 bits of the product are then right for every
// mix of signs.
module esp_mul (
  input  logic        valid_i,
  input  logic [1:0]  funct_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] result_o
);

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic        a_sign;
    logic        b_sign;
    logic [63:0] product;
    a_sign = '0;
    b_sign = '0;
    product = '0;
    result_o = '0;
    if (valid_i) begin
      a_sign = a_i[31] & (funct_i != 2'd3);
      b_sign = b_i[31] & ~funct_i[1];
      product = {{32{a_sign}}, a_i} * {{32{b_sign}}, b_i};
      result_o = funct_i == 2'd0 ? product[31:0] : product[63:32];
    end
  end

endmodule
