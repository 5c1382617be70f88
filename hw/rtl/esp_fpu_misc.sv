// SPDX-License-Identifier: MIT
// Float operations that finish in the execute stage: conversions, comparisons, minimum and maximum,
// sign injection, classification and moves. Combinational.
module esp_fpu_misc (
  input  logic             valid_i,
  input  esp_pkg::fpu_op_e op_i,
  input  logic [2:0]       funct_i,    // which of a family: funct3
  input  logic             unsigned_i, // conversions: bit 0 of the rs2 field
  input  esp_pkg::rm_t     rm_i,
  input  logic [31:0]      a_i,
  input  logic [31:0]      b_i,
  input  logic [31:0]      int_i,
  output logic [31:0]      result_o,
  output esp_pkg::fflags_t flags_o
);

  function automatic logic less_than(logic [31:0] a, logic [31:0] b);
    if (esp_pkg::is_zero(a) && esp_pkg::is_zero(b)) less_than = 1'b0;
    else if (a[31] != b[31]) less_than = a[31];
    else less_than = a[31] ? a[30:0] > b[30:0] : a[30:0] < b[30:0];
  endfunction

  always_comb begin
    // Temporaries of the gated block; they have defaults so that none becomes a latch.
    logic        a_first;
    logic        nan;
    logic        equal;
    logic [7:0]  exp;
    logic [63:0] fixed;
    logic [32:0] magnitude;
    logic        sign;
    logic        too_big;
    logic        inexact;
    logic [7:0]  left;
    logic [31:0] norm;
    logic [4:0]  zeros;
    logic        up;
    logic        subnormal;
    a_first = '0;
    nan = '0;
    equal = '0;
    exp = '0;
    fixed = '0;
    magnitude = '0;
    sign = '0;
    too_big = '0;
    inexact = '0;
    left = '0;
    norm = '0;
    zeros = '0;
    up = '0;
    subnormal = '0;
    result_o = '0;
    flags_o = '0;
    if (valid_i) begin
      unique case (op_i)
        esp_pkg::FpuSgnj: begin
          unique case (funct_i[1:0])
            2'd0:    result_o = {b_i[31], a_i[30:0]};
            2'd1:    result_o = {~b_i[31], a_i[30:0]};
            default: result_o = {a_i[31] ^ b_i[31], a_i[30:0]};
          endcase
        end

        esp_pkg::FpuMinMax: begin
          // Minus zero is below plus zero here, unlike in a comparison.
          a_first = less_than(a_i, b_i) ||
                    (esp_pkg::is_zero(a_i) && esp_pkg::is_zero(b_i) && a_i[31]);
          flags_o.nv = esp_pkg::is_signalling(a_i) | esp_pkg::is_signalling(b_i);
          if (esp_pkg::is_nan(a_i) && esp_pkg::is_nan(b_i)) result_o = esp_pkg::CanonicalNan;
          else if (esp_pkg::is_nan(a_i)) result_o = b_i;
          else if (esp_pkg::is_nan(b_i)) result_o = a_i;
          else result_o = a_first ^ funct_i[0] ? a_i : b_i;
        end

        esp_pkg::FpuCompare: begin
          nan = esp_pkg::is_nan(a_i) | esp_pkg::is_nan(b_i);
          equal = a_i == b_i || (esp_pkg::is_zero(a_i) && esp_pkg::is_zero(b_i));
          unique case (funct_i[1:0])
            2'd0:    result_o[0] = equal | less_than(a_i, b_i);
            2'd1:    result_o[0] = less_than(a_i, b_i);
            default: result_o[0] = equal;
          endcase
          if (nan) result_o = '0;
          // FEQ is quiet.
          flags_o.nv = funct_i[1] ? esp_pkg::is_signalling(a_i) | esp_pkg::is_signalling(b_i) : nan;
        end

        esp_pkg::FpuFloatToInt: begin
          exp = a_i[30:23];
          sign = a_i[31] & ~esp_pkg::is_nan(a_i);
          // 32 integer bits over 32 fraction bits. 2^32 and above cannot be held and is too big.
          too_big = exp >= 8'd159;
          fixed = '0;
          if (!too_big) begin
            if (exp >= 8'd118) begin
              left = exp - 8'd118;
              fixed = {40'b0, esp_pkg::significand(a_i)} << left[5:0];
            end else begin
              // Below 2^-9: only whether it is zero matters.
              fixed = {63'b0, !esp_pkg::is_zero(a_i)};
            end
          end
          inexact = fixed[31:0] != '0;
          magnitude = {1'b0, fixed[63:32]} +
                      {32'b0, esp_pkg::round_up(rm_i, sign, fixed[32], fixed[31],
                                                fixed[30:0] != '0)};
          if (unsigned_i) begin
            too_big = too_big | magnitude[32] | (sign & magnitude != '0);
          end else begin
            too_big = too_big | (sign ? magnitude > 33'h0_8000_0000 : magnitude > 33'h0_7FFF_FFFF);
          end
          if (too_big) begin
            flags_o.nv = 1'b1;
            result_o = unsigned_i ? {32{~sign}} : {sign, {31{~sign}}};
          end else begin
            flags_o.nx = inexact;
            result_o = sign ? -magnitude[31:0] : magnitude[31:0];
          end
        end

        esp_pkg::FpuIntToFloat: begin
          sign = int_i[31] & ~unsigned_i;
          norm = sign ? -int_i : int_i;
          if (norm != '0) begin
            zeros = esp_pkg::leading_zeros32(norm);
            norm = norm << zeros;
            up = esp_pkg::round_up(rm_i, sign, norm[8], norm[7], norm[6:0] != '0);
            // A carry out of the fraction moves into the exponent, as it should.
            result_o = {sign, 8'd158 - {3'b0, zeros}, norm[30:8]} + {31'b0, up};
            flags_o.nx = norm[7:0] != '0;
          end
        end

        esp_pkg::FpuMoveToInt:   result_o = a_i;
        esp_pkg::FpuMoveToFloat: result_o = int_i;

        esp_pkg::FpuClass: begin
          subnormal = a_i[30:23] == '0 && a_i[22:0] != '0;
          result_o[0] = esp_pkg::is_inf(a_i) & a_i[31];
          result_o[1] = a_i[30:23] != '0 && a_i[30:23] != '1 && a_i[31];
          result_o[2] = subnormal & a_i[31];
          result_o[3] = esp_pkg::is_zero(a_i) & a_i[31];
          result_o[4] = esp_pkg::is_zero(a_i) & ~a_i[31];
          result_o[5] = subnormal & ~a_i[31];
          result_o[6] = a_i[30:23] != '0 && a_i[30:23] != '1 && !a_i[31];
          result_o[7] = esp_pkg::is_inf(a_i) & ~a_i[31];
          result_o[8] = esp_pkg::is_signalling(a_i);
          result_o[9] = esp_pkg::is_nan(a_i) & ~esp_pkg::is_signalling(a_i);
        end

        default: ;
      endcase
    end
  end

endmodule
