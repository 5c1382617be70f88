// SPDX-License-Identifier: MIT
// Fused multiply-add in two stages; esp_fpu_round is the third.
//
// Stage 1 (issue, combinational from the operands): specials, sign, exponents, 24x24 product.
// Stage 2: the operand with the smaller exponent is shifted right, both are added.
// Addition is a * 1 + c and multiplication a * b + 0, so one data path serves all of them.
//
// A significand is a 64-bit number whose bit 59 weighs 2^(exponent - 127). Subnormal operands are
// not normalised: their product then has leading zeros, but keeps all of its bits.
module esp_fpu_fma (
  input  logic             clk_i,
  input  logic             srst_ni,

  input  logic             start_i,
  input  esp_pkg::fpu_op_e op_i,
  input  esp_pkg::rm_t     rm_i,
  input  logic [4:0]       rd_i,
  input  logic [31:0]      a_i,
  input  logic [31:0]      b_i,
  input  logic [31:0]      c_i,

  output logic             valid_o,
  output logic [4:0]       rd_o,
  output esp_pkg::rm_t     rm_o,
  output logic             special_o,
  output logic             invalid_o,
  output logic [31:0]      special_result_o,
  output logic             sign_o,
  output logic [9:0]       exponent_o,
  output logic [63:0]      sum_o
);

  logic             valid_q;
  logic [4:0]       rd_q;
  esp_pkg::rm_t     rm_q;
  logic             special_q;
  logic             special_d;
  logic             invalid_q;
  logic             invalid_d;
  logic [31:0]      special_result_q;
  logic [31:0]      special_result_d;
  logic             product_sign_q;
  logic             product_sign_d;
  logic [9:0]       product_exponent_q;
  logic [9:0]       product_exponent_d;
  logic [47:0]      product_q;
  logic [47:0]      product_d;
  logic             addend_sign_q;
  logic             addend_sign_d;
  logic [7:0]       addend_exponent_q;
  logic [7:0]       addend_exponent_d;
  logic [23:0]      addend_q;
  logic [23:0]      addend_d;

  // Stage 1.
  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic [31:0] x;
    logic [31:0] y;
    logic [31:0] z;
    logic        inf_product;
    x = '0;
    y = '0;
    z = '0;
    inf_product = '0;
    special_d = 1'b0;
    invalid_d = 1'b0;
    special_result_d = '0;
    product_sign_d = 1'b0;
    product_exponent_d = '0;
    product_d = '0;
    addend_sign_d = 1'b0;
    addend_exponent_d = '0;
    addend_d = '0;
    if (start_i) begin
      x = a_i;
      y = b_i;
      z = c_i;
      unique case (op_i)
        esp_pkg::FpuMsub:  z[31] = ~c_i[31];
        esp_pkg::FpuNmsub: x[31] = ~a_i[31];
        esp_pkg::FpuNmadd: begin
          x[31] = ~a_i[31];
          z[31] = ~c_i[31];
        end
        esp_pkg::FpuAdd: begin
          y = esp_pkg::FloatOne;
          z = b_i;
        end
        esp_pkg::FpuSub: begin
          y = esp_pkg::FloatOne;
          z = {~b_i[31], b_i[30:0]};
        end
        // A zero of the product's sign leaves the sign of a zero product alone.
        esp_pkg::FpuMul:   z = {a_i[31] ^ b_i[31], 31'b0};
        default: ;
      endcase

      product_sign_d = x[31] ^ y[31];
      product_exponent_d = {2'b0, esp_pkg::exponent(x)} + {2'b0, esp_pkg::exponent(y)} - 10'd127;
      product_d = {24'b0, esp_pkg::significand(x)} * {24'b0, esp_pkg::significand(y)};
      addend_sign_d = z[31];
      addend_exponent_d = esp_pkg::exponent(z);
      addend_d = esp_pkg::significand(z);

      if (&x[30:23] || &y[30:23] || &z[30:23]) begin
        inf_product = esp_pkg::is_inf(x) | esp_pkg::is_inf(y);
        special_d = 1'b1;
        invalid_d = esp_pkg::is_signalling(x) | esp_pkg::is_signalling(y) |
                    esp_pkg::is_signalling(z) |
                    (esp_pkg::is_inf(x) & esp_pkg::is_zero(y)) |
                    (esp_pkg::is_zero(x) & esp_pkg::is_inf(y));
        if (esp_pkg::is_nan(x) || esp_pkg::is_nan(y) || esp_pkg::is_nan(z) || invalid_d) begin
          special_result_d = esp_pkg::CanonicalNan;
        end else if (inf_product && esp_pkg::is_inf(z) && product_sign_d != z[31]) begin
          invalid_d = 1'b1;
          special_result_d = esp_pkg::CanonicalNan;
        end else begin
          special_result_d = {inf_product ? product_sign_d : z[31], 31'h7F80_0000};
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      valid_q <= 1'b0;
      rd_q <= '0;
      rm_q <= esp_pkg::RmRne;
      special_q <= 1'b0;
      invalid_q <= 1'b0;
      special_result_q <= '0;
      product_sign_q <= 1'b0;
      product_exponent_q <= '0;
      product_q <= '0;
      addend_sign_q <= 1'b0;
      addend_exponent_q <= '0;
      addend_q <= '0;
    end else begin
      valid_q <= start_i;
      if (start_i) begin
        rd_q <= rd_i;
        rm_q <= rm_i;
        special_q <= special_d;
        invalid_q <= invalid_d;
        special_result_q <= special_result_d;
        product_sign_q <= product_sign_d;
        product_exponent_q <= product_exponent_d;
        product_q <= product_d;
        addend_sign_q <= addend_sign_d;
        addend_exponent_q <= addend_exponent_d;
        addend_q <= addend_d;
      end
    end
  end

  // Stage 2.
  assign valid_o = valid_q;
  assign rd_o = rd_q;
  assign rm_o = rm_q;
  assign special_o = special_q;
  assign invalid_o = invalid_q;
  assign special_result_o = special_result_q;

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic [63:0] product;
    logic [63:0] addend;
    logic [9:0]  distance;
    product = '0;
    addend = '0;
    distance = '0;
    sign_o = 1'b0;
    exponent_o = '0;
    sum_o = '0;
    if (valid_q && !special_q) begin
      product = {3'b0, product_q, 13'b0};
      addend = {4'b0, addend_q, 36'b0};
      distance = product_exponent_q - {2'b0, addend_exponent_q};
      // A zero product has no exponent and must not push the addend out. A zero addend has the
      // smallest one; a product below that becomes subnormal anyway.
      if (product_q == '0) begin
        exponent_o = {2'b0, addend_exponent_q};
      end else if (distance[9]) begin
        exponent_o = {2'b0, addend_exponent_q};
        product = esp_pkg::shift_right_sticky(product, -distance);
      end else begin
        exponent_o = product_exponent_q;
        addend = esp_pkg::shift_right_sticky(addend, distance);
      end

      if (product_sign_q == addend_sign_q) begin
        sign_o = product_sign_q;
        sum_o = product + addend;
      end else begin
        sum_o = product - addend;
        sign_o = product_sign_q;
        if (sum_o == '0) begin
          sign_o = rm_q == esp_pkg::RmRdn;
        end else if (sum_o[63]) begin
          sum_o = -sum_o;
          sign_o = addend_sign_q;
        end
      end
    end
  end

endmodule
