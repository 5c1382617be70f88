// SPDX-License-Identifier: MIT
// Instruction decoder. Combinational; knows encodings only, no machine state.
//
// Whether a CSR exists and whether a rounding mode is valid depends on state and is decided by the
// core.
module esp_decoder #(
  parameter bit Float   = 1'b1,
  parameter bit Dot     = 1'b1,
  parameter bit LoadDot = 1'b0
) (
  input  logic [31:0]        instr_i,
  output logic               illegal_o,
  output esp_pkg::unit_e     unit_o,
  output esp_pkg::alu_op_t   alu_op_o,
  output esp_pkg::op_a_sel_e op_a_sel_o,
  output logic               op_b_imm_o,
  output logic [31:0]        imm_o,
  output logic               use_rs1_o,
  output logic               use_rs2_o,
  output logic               rd_we_o,
  output logic               load_dot_o,
  output logic               is_float_o,
  output esp_pkg::fpu_op_e   fpu_op_o,
  output logic               fpu_rounds_o,
  output logic               use_frs1_o,
  output logic               use_frs2_o,
  output logic               use_frs3_o,
  output logic               frd_we_o,
  output logic               fs_dirty_o
);

  logic [2:0]  funct3;
  logic [6:0]  funct7;
  logic [31:0] imm_i;

  assign funct3 = instr_i[14:12];
  assign funct7 = instr_i[31:25];
  assign imm_i = {{20{instr_i[31]}}, instr_i[31:20]};

  always_comb begin
    illegal_o = 1'b0;
    unit_o = esp_pkg::UnitNop;
    alu_op_o = esp_pkg::AluAdd;
    op_a_sel_o = esp_pkg::OpASelRs1;
    op_b_imm_o = 1'b1;
    imm_o = imm_i;
    use_rs1_o = 1'b0;
    use_rs2_o = 1'b0;
    rd_we_o = 1'b0;
    load_dot_o = 1'b0;
    is_float_o = 1'b0;
    fpu_op_o = esp_pkg::FpuMadd;
    fpu_rounds_o = 1'b0;
    use_frs1_o = 1'b0;
    use_frs2_o = 1'b0;
    use_frs3_o = 1'b0;
    frd_we_o = 1'b0;
    fs_dirty_o = 1'b0;

    unique case (instr_i[6:2])
      esp_pkg::OpcLui: begin
        unit_o = esp_pkg::UnitAlu;
        op_a_sel_o = esp_pkg::OpASelZero;
        imm_o = {instr_i[31:12], 12'b0};
        rd_we_o = 1'b1;
      end
      esp_pkg::OpcAuipc: begin
        unit_o = esp_pkg::UnitAlu;
        op_a_sel_o = esp_pkg::OpASelPc;
        imm_o = {instr_i[31:12], 12'b0};
        rd_we_o = 1'b1;
      end
      esp_pkg::OpcJal: begin
        unit_o = esp_pkg::UnitJal;
        imm_o = {{12{instr_i[31]}}, instr_i[19:12], instr_i[20], instr_i[30:21], 1'b0};
        rd_we_o = 1'b1;
      end
      esp_pkg::OpcJalr: begin
        unit_o = esp_pkg::UnitJalr;
        use_rs1_o = 1'b1;
        rd_we_o = 1'b1;
        illegal_o = funct3 != 3'd0;
      end
      esp_pkg::OpcBranch: begin
        unit_o = esp_pkg::UnitBranch;
        imm_o = {{20{instr_i[31]}}, instr_i[7], instr_i[30:25], instr_i[11:8], 1'b0};
        use_rs1_o = 1'b1;
        use_rs2_o = 1'b1;
        illegal_o = funct3[2:1] == 2'b01;
      end
      esp_pkg::OpcLoad: begin
        unit_o = esp_pkg::UnitLoad;
        use_rs1_o = 1'b1;
        rd_we_o = 1'b1;
        illegal_o = funct3 == 3'd3 || funct3[2:1] == 2'b11;
      end
      esp_pkg::OpcCustom0: begin
        illegal_o = 1'b1;
        if (LoadDot) begin
          // A load of a word, at an offset in words.
          unit_o = esp_pkg::UnitLoad;
          load_dot_o = 1'b1;
          imm_o = {23'b0, funct7, 2'b00};
          use_rs1_o = 1'b1;
          use_rs2_o = 1'b1;
          rd_we_o = 1'b1;
          illegal_o = funct3 != 3'd0;
        end
      end
      esp_pkg::OpcStore: begin
        unit_o = esp_pkg::UnitStore;
        imm_o = {{20{instr_i[31]}}, instr_i[31:25], instr_i[11:7]};
        use_rs1_o = 1'b1;
        use_rs2_o = 1'b1;
        illegal_o = funct3 > 3'd2;
      end
      esp_pkg::OpcOpImm: begin
        unit_o = esp_pkg::UnitAlu;
        use_rs1_o = 1'b1;
        rd_we_o = 1'b1;
        alu_op_o = {1'b0, funct3};
        if (funct3 == 3'd1) illegal_o = funct7 != 7'd0;
        if (funct3 == 3'd5) begin
          alu_op_o = {funct7[5], funct3};
          illegal_o = {funct7[6], funct7[4:0]} != 6'd0;
        end
      end
      esp_pkg::OpcOp: begin
        use_rs1_o = 1'b1;
        use_rs2_o = 1'b1;
        rd_we_o = 1'b1;
        op_b_imm_o = 1'b0;
        unit_o = esp_pkg::UnitAlu;
        if (funct7[0]) begin
          unit_o = funct3[2] ? esp_pkg::UnitDiv : esp_pkg::UnitMul;
          illegal_o = funct7 != 7'd1;
        end else begin
          alu_op_o = {funct7[5], funct3};
          illegal_o = funct7 != 7'd0 &&
                      !(funct7 == 7'h20 && (funct3 == 3'd0 || funct3 == 3'd5));
        end
      end
      esp_pkg::OpcOp32: begin
        unit_o = esp_pkg::UnitDot;
        use_rs1_o = 1'b1;
        use_rs2_o = 1'b1;
        rd_we_o = 1'b1;
        illegal_o = !Dot || funct3 != 3'd5 || funct7 != 7'h46;
      end
      esp_pkg::OpcMiscMem: begin
        // Memory is in order, so FENCE does nothing; unknown fields of both are to be ignored.
        if (funct3 == 3'd1) unit_o = esp_pkg::UnitFenceI;
        illegal_o = funct3 > 3'd1;
      end
      esp_pkg::OpcSystem: begin
        if (funct3 == 3'd0) begin
          unique case (instr_i[31:20])
            12'h000: unit_o = esp_pkg::UnitEcall;
            12'h001: unit_o = esp_pkg::UnitEbreak;
            12'h302: unit_o = esp_pkg::UnitMret;
            12'h105: unit_o = esp_pkg::UnitNop;  // WFI
            default: illegal_o = 1'b1;
          endcase
          if (instr_i[19:15] != 5'd0 || instr_i[11:7] != 5'd0) illegal_o = 1'b1;
        end else begin
          unit_o = esp_pkg::UnitCsr;
          use_rs1_o = ~funct3[2];
          rd_we_o = 1'b1;
          illegal_o = funct3 == 3'd4;
        end
      end
      esp_pkg::OpcLoadFp: begin
        unit_o = esp_pkg::UnitLoad;
        is_float_o = 1'b1;
        use_rs1_o = 1'b1;
        frd_we_o = 1'b1;
        fs_dirty_o = 1'b1;
        illegal_o = !Float || funct3 != 3'd2;
      end
      esp_pkg::OpcStoreFp: begin
        unit_o = esp_pkg::UnitStore;
        is_float_o = 1'b1;
        imm_o = {{20{instr_i[31]}}, instr_i[31:25], instr_i[11:7]};
        use_rs1_o = 1'b1;
        use_frs2_o = 1'b1;
        illegal_o = !Float || funct3 != 3'd2;
      end
      esp_pkg::OpcMadd, esp_pkg::OpcMsub, esp_pkg::OpcNmsub, esp_pkg::OpcNmadd: begin
        unit_o = esp_pkg::UnitFpu;
        is_float_o = 1'b1;
        unique case (instr_i[3:2])
          2'd0:    fpu_op_o = esp_pkg::FpuMadd;
          2'd1:    fpu_op_o = esp_pkg::FpuMsub;
          2'd2:    fpu_op_o = esp_pkg::FpuNmsub;
          default: fpu_op_o = esp_pkg::FpuNmadd;
        endcase
        fpu_rounds_o = 1'b1;
        use_frs1_o = 1'b1;
        use_frs2_o = 1'b1;
        use_frs3_o = 1'b1;
        frd_we_o = 1'b1;
        fs_dirty_o = 1'b1;
        illegal_o = !Float || instr_i[26:25] != 2'd0;
      end
      esp_pkg::OpcOpFp: begin
        unit_o = esp_pkg::UnitFpu;
        is_float_o = 1'b1;
        use_frs1_o = 1'b1;
        fs_dirty_o = 1'b1;
        unique case (funct7)
          7'h00, 7'h04, 7'h08, 7'h0C: begin
            unique case (funct7[3:2])
              2'd0:    fpu_op_o = esp_pkg::FpuAdd;
              2'd1:    fpu_op_o = esp_pkg::FpuSub;
              2'd2:    fpu_op_o = esp_pkg::FpuMul;
              default: fpu_op_o = esp_pkg::FpuDiv;
            endcase
            fpu_rounds_o = 1'b1;
            use_frs2_o = 1'b1;
            frd_we_o = 1'b1;
          end
          7'h2C: begin
            fpu_op_o = esp_pkg::FpuSqrt;
            fpu_rounds_o = 1'b1;
            frd_we_o = 1'b1;
            illegal_o = instr_i[24:20] != 5'd0;
          end
          7'h10: begin
            fpu_op_o = esp_pkg::FpuSgnj;
            use_frs2_o = 1'b1;
            frd_we_o = 1'b1;
            illegal_o = funct3 > 3'd2;
          end
          7'h14: begin
            fpu_op_o = esp_pkg::FpuMinMax;
            use_frs2_o = 1'b1;
            frd_we_o = 1'b1;
            illegal_o = funct3 > 3'd1;
          end
          7'h50: begin
            fpu_op_o = esp_pkg::FpuCompare;
            use_frs2_o = 1'b1;
            rd_we_o = 1'b1;
            illegal_o = funct3 > 3'd2;
          end
          7'h60: begin
            fpu_op_o = esp_pkg::FpuFloatToInt;
            fpu_rounds_o = 1'b1;
            rd_we_o = 1'b1;
            illegal_o = instr_i[24:21] != 4'd0;
          end
          7'h68: begin
            fpu_op_o = esp_pkg::FpuIntToFloat;
            fpu_rounds_o = 1'b1;
            use_frs1_o = 1'b0;
            use_rs1_o = 1'b1;
            frd_we_o = 1'b1;
            illegal_o = instr_i[24:21] != 4'd0;
          end
          7'h70: begin
            fpu_op_o = funct3[0] ? esp_pkg::FpuClass : esp_pkg::FpuMoveToInt;
            fs_dirty_o = 1'b0;
            rd_we_o = 1'b1;
            illegal_o = funct3 > 3'd1 || instr_i[24:20] != 5'd0;
          end
          7'h78: begin
            fpu_op_o = esp_pkg::FpuMoveToFloat;
            use_frs1_o = 1'b0;
            use_rs1_o = 1'b1;
            frd_we_o = 1'b1;
            illegal_o = funct3 != 3'd0 || instr_i[24:20] != 5'd0;
          end
          default: illegal_o = 1'b1;
        endcase
        if (!Float) illegal_o = 1'b1;
      end
      default: illegal_o = 1'b1;
    endcase

    if (instr_i[1:0] != 2'b11) illegal_o = 1'b1;
  end

endmodule
