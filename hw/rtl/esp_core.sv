// SPDX-License-Identifier: MIT
// The core: RV32IM + Zicsr + Zifencei, machine mode, with F, pm4adda.b and esp.lwdota.b as
// parameters. The last fuses a load with pm4adda.b and needs it.
//
// Three stages. Fetch (esp_fetch) holds the address whose instruction the memory is delivering.
// Execute decodes, reads registers, computes, resolves branches, addresses memory and takes every
// trap, so an instruction that leaves it always completes. Write-back receives load data, computes
// the dot product that a load is fused with, and writes the registers. Float multiply-adds,
// divisions and square roots write later, through the second port of the float registers; a
// scoreboard of the two stages under way holds dependent instructions in execute.
//
// docs/core-pipeline.md lists the stall cycles of every instruction.
module esp_core #(
  parameter bit          Float   = 1'b1,
  parameter bit          Dot     = 1'b1,
  parameter bit          LoadDot = 1'b0,
  parameter logic [31:0] HartId  = 32'd0
) (
  input  logic        clk_i,
  input  logic        srst_ni,
  input  logic [31:0] boot_addr_i,

  // Both ports are valid/ready handshakes: a request is taken in the cycle in which `*_ready_i` is
  // high, which may depend on its address. One that is not taken is repeated in the next cycle; an
  // instruction request may then be for another address.
  //
  // Instruction port: data and error one cycle after the request was taken, held until the next is.
  output logic        instr_req_o,
  input  logic        instr_ready_i,
  output logic [31:0] instr_addr_o,
  input  logic [31:0] instr_rdata_i,
  input  logic        instr_err_i,

  // Data port: the error answers the address in the cycle in which the request is taken and stops
  // the access; read data come one cycle later.
  output logic        data_req_o,
  input  logic        data_ready_i,
  output logic        data_we_o,
  output logic [3:0]  data_be_o,
  output logic [31:0] data_addr_o,
  output logic [31:0] data_wdata_o,
  input  logic        data_err_i,
  input  logic [31:0] data_rdata_i

`ifdef ESP_RVFI
  // What left execute one cycle ago, in program order, as the RISC-V Formal Interface has it: one
  // channel, aligned memory accesses, the accumulator of a dot product as a third source. A float
  // result that is late is announced with `rvfi_ext_late` and follows on `rvfi_ext_late_*`, in the
  // order of the instructions; `rvfi_frd_*` hold those that are not.
  ,
  output logic        rvfi_valid,
  output logic [63:0] rvfi_order,
  output logic [31:0] rvfi_insn,
  output logic        rvfi_trap,
  output logic        rvfi_halt,
  output logic        rvfi_intr,
  output logic [1:0]  rvfi_mode,
  output logic [1:0]  rvfi_ixl,
  output logic [4:0]  rvfi_rs1_addr,
  output logic [4:0]  rvfi_rs2_addr,
  output logic [4:0]  rvfi_rs3_addr,
  output logic [31:0] rvfi_rs1_rdata,
  output logic [31:0] rvfi_rs2_rdata,
  output logic [31:0] rvfi_rs3_rdata,
  output logic [4:0]  rvfi_rd_addr,
  output logic [31:0] rvfi_rd_wdata,
  output logic [4:0]  rvfi_frs1_addr,
  output logic [4:0]  rvfi_frs2_addr,
  output logic [4:0]  rvfi_frs3_addr,
  output logic        rvfi_frs1_rvalid,
  output logic        rvfi_frs2_rvalid,
  output logic        rvfi_frs3_rvalid,
  output logic [31:0] rvfi_frs1_rdata,
  output logic [31:0] rvfi_frs2_rdata,
  output logic [31:0] rvfi_frs3_rdata,
  output logic        rvfi_frd_wvalid,
  output logic [4:0]  rvfi_frd_addr,
  output logic [31:0] rvfi_frd_wdata,
  output logic [31:0] rvfi_pc_rdata,
  output logic [31:0] rvfi_pc_wdata,
  output logic [31:0] rvfi_mem_addr,
  output logic [3:0]  rvfi_mem_rmask,
  output logic [3:0]  rvfi_mem_wmask,
  output logic [31:0] rvfi_mem_rdata,
  output logic [31:0] rvfi_mem_wdata,
  output logic [3:0]  rvfi_ext_cause,
  output logic [31:0] rvfi_ext_tval,
  output logic [31:0] rvfi_ext_mtvec,
  output logic        rvfi_ext_late,
  output logic        rvfi_ext_late_valid,
  output logic [4:0]  rvfi_ext_late_addr,
  output logic [31:0] rvfi_ext_late_wdata
`endif
);

  // Execute stage, from fetch.
  logic        id_valid;
  logic        id_ready;
  logic        id_err;
  logic [31:0] id_pc;
  logic [31:0] id_instr;

  logic        redirect;
  logic [31:0] redirect_target;

  esp_fetch u_fetch (
    .clk_i,
    .srst_ni,
    .boot_addr_i,
    .instr_req_o,
    .instr_ready_i,
    .instr_addr_o,
    .instr_rdata_i,
    .instr_err_i,
    .redirect_i(redirect),
    .target_i(redirect_target),
    .id_ready_i(id_ready),
    .id_valid_o(id_valid),
    .id_pc_o(id_pc),
    .id_instr_o(id_instr),
    .id_err_o(id_err)
  );

  // Decode.
  logic               decode_illegal;
  esp_pkg::unit_e     unit;
  esp_pkg::alu_op_t   alu_op;
  esp_pkg::op_a_sel_e op_a_sel;
  logic               op_b_imm;
  logic [31:0]        imm;
  logic               use_rs1;
  logic               use_rs2;
  logic               rd_we;
  logic               decode_load_dot;
  logic               load_dot;
  logic               is_float;
  esp_pkg::fpu_op_e   fpu_op;
  logic               fpu_rounds;
  logic               use_frs1;
  logic               use_frs2;
  logic               use_frs3;
  logic               frd_we;
  logic               fs_dirty;
  logic [2:0]         funct3;
  logic [4:0]         rs1;
  logic [4:0]         rs2;
  logic [4:0]         rs3;
  logic [4:0]         rd;

  assign funct3 = id_instr[14:12];
  assign rs1 = id_instr[19:15];
  assign rs2 = id_instr[24:20];
  assign rs3 = id_instr[31:27];
  assign rd = id_instr[11:7];

  esp_decoder #(
    .Float(Float),
    .Dot(Dot),
    .LoadDot(LoadDot)
  ) u_decoder (
    .instr_i(id_instr),
    .illegal_o(decode_illegal),
    .unit_o(unit),
    .alu_op_o(alu_op),
    .op_a_sel_o(op_a_sel),
    .op_b_imm_o(op_b_imm),
    .imm_o(imm),
    .use_rs1_o(use_rs1),
    .use_rs2_o(use_rs2),
    .rd_we_o(rd_we),
    .load_dot_o(decode_load_dot),
    .is_float_o(is_float),
    .fpu_op_o(fpu_op),
    .fpu_rounds_o(fpu_rounds),
    .use_frs1_o(use_frs1),
    .use_frs2_o(use_frs2),
    .use_frs3_o(use_frs3),
    .frd_we_o(frd_we),
    .fs_dirty_o(fs_dirty)
  );

  // A load fused with the dot product; its unit is UnitLoad, as that of any load.
  assign load_dot = LoadDot && decode_load_dot;

  // Write-back stage registers. A load fused with the dot product brings its accumulator in
  // `wb_result_q` and the bytes to multiply by in `wb_bytes_q`.
  logic        wb_rd_we_q;
  logic        wb_frd_we_q;
  logic        wb_load_q;
  logic        wb_dot_q;
  logic [2:0]  wb_funct_q;
  logic [1:0]  wb_offset_q;
  logic [4:0]  wb_rd_q;
  logic [31:0] wb_result_q;
  logic [31:0] wb_bytes_q;
  logic [31:0] load_data;
  logic [31:0] dot_result;
  logic [31:0] wb_data;

  always_comb begin
    wb_data = wb_load_q ? load_data : wb_result_q;
    if (wb_dot_q) wb_data = dot_result;
  end

  // Integer operands, forwarded from write-back unless it waits for memory.
  logic [31:0] reg_a;
  logic [31:0] reg_b;
  logic [31:0] reg_c;
  logic [31:0] rs1_value;
  logic [31:0] rs2_value;
  logic [31:0] acc_value;
  logic        wb_match_a;
  logic        wb_match_b;
  logic        wb_match_c;

  esp_regfile u_regfile (
    .clk_i,
    .srst_ni,
    .raddr_a_i(rs1),
    .rdata_a_o(reg_a),
    .raddr_b_i(rs2),
    .rdata_b_o(reg_b),
    .raddr_c_i(rd),
    .rdata_c_o(reg_c),
    .we_i(wb_rd_we_q),
    .waddr_i(wb_rd_q),
    .wdata_i(wb_data)
  );

  // Register 0 is never written, hence never matches.
  assign wb_match_a = wb_rd_we_q && wb_rd_q == rs1;
  assign wb_match_b = wb_rd_we_q && wb_rd_q == rs2;
  assign wb_match_c = wb_rd_we_q && wb_rd_q == rd;
  assign rs1_value = wb_match_a ? wb_result_q : reg_a;
  assign rs2_value = wb_match_b ? wb_result_q : reg_b;
  assign acc_value = Dot && wb_match_c ? wb_result_q : reg_c;

  // Float operands and the scoreboard of late results.
  logic [31:0]      frs1_value;
  logic [31:0]      frs2_value;
  logic [31:0]      frs3_value;
  logic             add_valid;
  logic [4:0]       add_rd;
  logic             round_valid;
  logic [4:0]       round_rd;
  logic [31:0]      late_result;
  esp_pkg::fflags_t late_flags;
  logic             fpu_valid;
  logic             fpu_ready;
  logic             fpu_late;
  logic [31:0]      fpu_result;
  esp_pkg::fflags_t fpu_flags;
  esp_pkg::rm_t     rm;
  logic [2:0]       frm;
  logic             float_hazard;

  assign rm = funct3 == esp_pkg::RmDyn ? frm : funct3;

  if (Float) begin : gen_float
    logic [31:0] freg_a;
    logic [31:0] freg_b;
    logic [31:0] freg_c;

    esp_fregfile u_fregfile (
      .clk_i,
      .srst_ni,
      .raddr_a_i(rs1),
      .rdata_a_o(freg_a),
      .raddr_b_i(rs2),
      .rdata_b_o(freg_b),
      .raddr_c_i(rs3),
      .rdata_c_o(freg_c),
      .we_a_i(wb_frd_we_q),
      .waddr_a_i(wb_rd_q),
      .wdata_a_i(wb_data),
      .we_b_i(round_valid),
      .waddr_b_i(round_rd),
      .wdata_b_i(late_result)
    );

    always_comb begin
      frs1_value = '0;
      frs2_value = '0;
      frs3_value = '0;
      float_hazard = 1'b0;
      if (id_valid && is_float) begin
        frs1_value = wb_frd_we_q && wb_rd_q == rs1 ? wb_result_q : freg_a;
        frs2_value = wb_frd_we_q && wb_rd_q == rs2 ? wb_result_q : freg_b;
        frs3_value = wb_frd_we_q && wb_rd_q == rs3 ? wb_result_q : freg_c;
        // The destination counts too: a result of the next cycle would be written together with
        // the older one that is in the add stage now.
        if (add_valid) begin
          float_hazard = (use_frs1 && add_rd == rs1) || (use_frs2 && add_rd == rs2) ||
                         (use_frs3 && add_rd == rs3) || (frd_we && add_rd == rd);
        end
        if (round_valid) begin
          float_hazard = float_hazard || (use_frs1 && round_rd == rs1) ||
                         (use_frs2 && round_rd == rs2) || (use_frs3 && round_rd == rs3);
        end
        if (wb_frd_we_q && wb_load_q) begin
          float_hazard = float_hazard || (use_frs1 && wb_rd_q == rs1) ||
                         (use_frs2 && wb_rd_q == rs2) || (use_frs3 && wb_rd_q == rs3);
        end
      end
    end

    esp_fpu u_fpu (
      .clk_i,
      .srst_ni,
      .valid_i(fpu_valid),
      .op_i(fpu_op),
      .funct_i(funct3),
      .unsigned_i(rs2[0]),
      .rm_i(rm),
      .rd_i(rd),
      .a_i(frs1_value),
      .b_i(frs2_value),
      .c_i(frs3_value),
      .int_i(rs1_value),
      .ready_o(fpu_ready),
      .late_o(fpu_late),
      .result_o(fpu_result),
      .flags_o(fpu_flags),
      .add_valid_o(add_valid),
      .add_rd_o(add_rd),
      .round_valid_o(round_valid),
      .round_rd_o(round_rd),
      .late_result_o(late_result),
      .late_flags_o(late_flags)
    );
  end else begin : gen_no_float
    logic unused;
    assign unused = ^{wb_frd_we_q, rs3, rm, fpu_op, use_frs1, use_frs2, use_frs3, add_rd, round_rd,
                      fpu_valid, late_result, frs1_value, frs3_value};
    assign frs1_value = '0;
    assign frs2_value = '0;
    assign frs3_value = '0;
    assign float_hazard = 1'b0;
    assign add_valid = 1'b0;
    assign add_rd = '0;
    assign round_valid = 1'b0;
    assign round_rd = '0;
    assign late_result = '0;
    assign late_flags = '0;
    assign fpu_ready = 1'b1;
    assign fpu_late = 1'b0;
    assign fpu_result = '0;
    assign fpu_flags = '0;
  end

  // Hazards: a load in write-back has no data to forward yet, and if it is fused with the dot
  // product it has the only unit that computes one; CSR instructions wait until every late float
  // result has left its flags.
  logic hazard;
  logic ex_go;

  always_comb begin
    hazard = float_hazard;
    if (wb_load_q) begin
      hazard = hazard || (use_rs1 && wb_match_a) || (use_rs2 && wb_match_b) ||
               (Dot && (unit == esp_pkg::UnitDot || load_dot) && wb_match_c);
    end
    if (wb_dot_q) hazard = hazard || unit == esp_pkg::UnitDot;
    if (unit == esp_pkg::UnitCsr) hazard = hazard || add_valid || round_valid;
    ex_go = id_valid & ~hazard;
  end

  // Arithmetic.
  logic [31:0] op_a;
  logic [31:0] op_b;
  logic [31:0] alu_result;
  logic [31:0] mul_result;
  logic [31:0] div_result;
  logic        div_done;

  always_comb begin
    unique case (op_a_sel)
      esp_pkg::OpASelPc:   op_a = id_pc;
      esp_pkg::OpASelZero: op_a = '0;
      default:             op_a = rs1_value;
    endcase
    op_b = op_b_imm ? imm : rs2_value;
  end

  esp_alu u_alu (
    .op_i(alu_op),
    .a_i(op_a),
    .b_i(op_b),
    .result_o(alu_result)
  );

  esp_mul u_mul (
    .valid_i(unit == esp_pkg::UnitMul),
    .funct_i(funct3[1:0]),
    .a_i(rs1_value),
    .b_i(rs2_value),
    .result_o(mul_result)
  );

  // One unit for both instructions: write-back takes it first, from the word as memory gives it.
  if (Dot) begin : gen_dot
    esp_dot u_dot (
      .valid_i(wb_dot_q || unit == esp_pkg::UnitDot),
      .a_i(wb_dot_q ? data_rdata_i : rs1_value),
      .b_i(wb_dot_q ? wb_bytes_q : rs2_value),
      .accumulator_i(wb_dot_q ? wb_result_q : acc_value),
      .result_o(dot_result)
    );
  end else begin : gen_no_dot
    logic unused;
    assign unused = ^{acc_value, wb_bytes_q};
    assign dot_result = '0;
  end

  esp_div u_div (
    .clk_i,
    .srst_ni,
    .valid_i(ex_go & ~decode_illegal & ~id_err & (unit == esp_pkg::UnitDiv)),
    .signed_i(~funct3[0]),
    .remainder_i(funct3[1]),
    .a_i(rs1_value),
    .b_i(rs2_value),
    .done_o(div_done),
    .result_o(div_result)
  );

  // Branches.
  logic        branch_taken;
  logic        jump;
  logic [31:0] jump_target;

  always_comb begin
    unique case (funct3)
      3'd0:    branch_taken = rs1_value == rs2_value;
      3'd1:    branch_taken = rs1_value != rs2_value;
      3'd4:    branch_taken = $signed(rs1_value) < $signed(rs2_value);
      3'd5:    branch_taken = $signed(rs1_value) >= $signed(rs2_value);
      3'd6:    branch_taken = rs1_value < rs2_value;
      3'd7:    branch_taken = rs1_value >= rs2_value;
      default: branch_taken = 1'b0;
    endcase
    jump = 1'b0;
    jump_target = id_pc + imm;
    unique case (unit)
      esp_pkg::UnitBranch: jump = branch_taken;
      esp_pkg::UnitJal:    jump = 1'b1;
      esp_pkg::UnitJalr: begin
        jump = 1'b1;
        jump_target = (rs1_value + imm) & 32'hFFFF_FFFE;
      end
      default: ;
    endcase
  end

  // Memory.
  logic [31:0] mem_addr;
  logic        mem_misaligned;
  logic        is_mem;
  logic        is_store;
  logic [1:0]  mem_size;

  assign mem_size = load_dot ? 2'd2 : funct3[1:0];
  assign mem_addr = rs1_value + imm;
  assign is_store = unit == esp_pkg::UnitStore;
  assign is_mem = is_store | (unit == esp_pkg::UnitLoad);

  esp_lsu u_lsu (
    .size_i(mem_size),
    .offset_i(mem_addr[1:0]),
    .wdata_i(is_float ? frs2_value : rs2_value),
    .misaligned_o(mem_misaligned),
    .be_o(data_be_o),
    .wdata_o(data_wdata_o),
    .load_funct_i(wb_funct_q),
    .load_offset_i(wb_offset_q),
    .load_raw_i(data_rdata_i),
    .load_data_o(load_data)
  );

  // CSRs.
  logic        csr_illegal;
  logic        csr_write;
  logic [31:0] csr_operand;
  logic [31:0] csr_rdata;
  logic        fs_off;
  logic [31:0] mtvec;
  logic [31:0] mepc;
  logic [4:0]  fflags;

  // Set and clear with operand register 0 or immediate 0 do not write.
  assign csr_write = funct3[1:0] == 2'd1 || rs1 != 5'd0;
  assign csr_operand = funct3[2] ? {27'b0, rs1} : rs1_value;

  // Traps. Everything that can go wrong is known in this stage.
  logic           illegal;
  logic           trap;
  esp_pkg::cause_e cause;
  logic [31:0]    tval;

  assign illegal = decode_illegal | csr_illegal |
                   (is_float & (fs_off | (fpu_rounds & (rm > esp_pkg::RmRmm))));
  // No trap is known yet when memory is addressed: a faulty address answers with an error.
  assign data_req_o = ex_go & is_mem & ~illegal & ~id_err & ~mem_misaligned;
  assign data_we_o = is_store;
  assign data_addr_o = mem_addr;

  always_comb begin
    trap = 1'b0;
    cause = esp_pkg::CauseIllegal;
    tval = '0;
    if (id_err) begin
      trap = 1'b1;
      cause = esp_pkg::CauseInstrAccess;
      tval = id_pc;
    end else if (illegal) begin
      trap = 1'b1;
      tval = id_instr;
    end else begin
      unique case (unit)
        esp_pkg::UnitLoad, esp_pkg::UnitStore: begin
          trap = mem_misaligned | (data_ready_i & data_err_i);
          if (mem_misaligned) begin
            cause = is_store ? esp_pkg::CauseStoreMisaligned : esp_pkg::CauseLoadMisaligned;
          end else begin
            cause = is_store ? esp_pkg::CauseStoreAccess : esp_pkg::CauseLoadAccess;
          end
          tval = mem_addr;
        end
        esp_pkg::UnitBranch, esp_pkg::UnitJal, esp_pkg::UnitJalr: begin
          trap = jump & jump_target[1];
          cause = esp_pkg::CauseInstrMisaligned;
          tval = jump_target;
        end
        esp_pkg::UnitEcall: begin
          trap = 1'b1;
          cause = esp_pkg::CauseEcallM;
        end
        esp_pkg::UnitEbreak: begin
          trap = 1'b1;
          cause = esp_pkg::CauseBreakpoint;
          tval = id_pc;
        end
        default: ;
      endcase
    end
  end

  // The end of execute.
  logic take_trap;
  logic ex_done;
  logic retire;
  logic mret;

  assign fpu_valid = ex_go & (unit == esp_pkg::UnitFpu) & ~illegal & ~id_err;
  assign take_trap = ex_go & trap;

  always_comb begin
    ex_done = ex_go;
    if (!trap) begin
      if (is_mem) ex_done = ex_go & data_ready_i;
      if (unit == esp_pkg::UnitDiv) ex_done = ex_go & div_done;
      if (Float && unit == esp_pkg::UnitFpu) ex_done = ex_go & fpu_ready;
    end
    retire = ex_done & ~trap;
    mret = retire & (unit == esp_pkg::UnitMret);
    id_ready = ~id_valid | ex_done;
  end

  always_comb begin
    redirect = 1'b0;
    redirect_target = jump_target;
    if (take_trap) begin
      redirect = 1'b1;
      redirect_target = mtvec;
    end else if (ex_go) begin
      redirect = jump;
      if (unit == esp_pkg::UnitMret) begin
        redirect = 1'b1;
        redirect_target = mepc;
      end
      if (unit == esp_pkg::UnitFenceI) begin
        redirect = 1'b1;
        redirect_target = id_pc + 32'd4;
      end
    end
  end

  esp_csr #(
    .Float(Float),
    .Dot(Dot),
    .HartId(HartId)
  ) u_csr (
    .clk_i,
    .srst_ni,
    .valid_i(id_valid & (unit == esp_pkg::UnitCsr)),
    .addr_i(id_instr[31:20]),
    .op_i(funct3[1:0]),
    .write_i(csr_write),
    .operand_i(csr_operand),
    .rdata_o(csr_rdata),
    .illegal_o(csr_illegal),
    .commit_i(retire),
    .retire_i(retire),
    .trap_i(take_trap),
    .cause_i(cause),
    .epc_i(id_pc),
    .tval_i(tval),
    .mret_i(mret),
    .mtvec_o(mtvec),
    .mepc_o(mepc),
    .fs_dirty_i(retire & fs_dirty),
    .fflags_i(fpu_flags),
    .late_fflags_i(late_flags),
    .fs_off_o(fs_off),
    .frm_o(frm),
    .fflags_o(fflags)
  );

  logic [31:0] ex_result;

  always_comb begin
    unique case (unit)
      esp_pkg::UnitMul:                    ex_result = mul_result;
      esp_pkg::UnitDot:                    ex_result = dot_result;
      esp_pkg::UnitDiv:                    ex_result = div_result;
      esp_pkg::UnitJal, esp_pkg::UnitJalr: ex_result = id_pc + 32'd4;
      esp_pkg::UnitCsr:                    ex_result = csr_rdata;
      esp_pkg::UnitFpu:                    ex_result = fpu_result;
      default:                             ex_result = alu_result;
    endcase
    if (load_dot) ex_result = acc_value;
  end

  always_ff @(posedge clk_i) begin
    if (!srst_ni) begin
      wb_rd_we_q <= 1'b0;
      wb_frd_we_q <= 1'b0;
      wb_load_q <= 1'b0;
      wb_funct_q <= '0;
      wb_offset_q <= '0;
      wb_rd_q <= '0;
      wb_result_q <= '0;
    end else begin
      wb_rd_we_q <= retire & rd_we & (rd != 5'd0);
      wb_frd_we_q <= retire & frd_we & ~fpu_late;
      wb_load_q <= retire & (unit == esp_pkg::UnitLoad);
      wb_funct_q <= funct3;
      wb_offset_q <= mem_addr[1:0];
      wb_rd_q <= rd;
      wb_result_q <= ex_result;
    end
  end

  if (LoadDot) begin : gen_load_dot
    if (!Dot) begin : gen_refused
      $error("LoadDot needs Dot");
    end

    always_ff @(posedge clk_i) begin
      if (!srst_ni) begin
        wb_dot_q <= 1'b0;
        wb_bytes_q <= '0;
      end else begin
        wb_dot_q <= retire & load_dot;
        if (load_dot) wb_bytes_q <= rs2_value;
      end
    end
  end else begin : gen_no_load_dot
    logic unused;
    assign unused = decode_load_dot;
    assign wb_dot_q = 1'b0;
    assign wb_bytes_q = '0;
  end

`ifdef ESP_ASSERT
  logic        instr_waits_q;
  logic        data_waits_q;
  logic [31:0] data_addr_q;
  always_ff @(posedge clk_i) begin
    instr_waits_q <= srst_ni & instr_req_o & ~instr_ready_i;
    data_waits_q <= srst_ni & data_req_o & ~data_ready_i;
    data_addr_q <= data_addr_o;
    if (srst_ni) begin
      // What is not taken is asked for again.
      InstrRepeated: assert (!(instr_waits_q && !instr_req_o));
      DataRepeated: assert (!(data_waits_q && !(data_req_o && data_addr_o == data_addr_q)));
      // Memory never sees an access of an instruction that traps, unless memory itself refuses it.
      NoAccessOfATrap: assert (!(data_req_o && data_ready_i && take_trap && !data_err_i));
      // A dot product in execute has the unit, and what write-back fuses with one is a load.
      OneDotProduct: assert (!(retire && unit == esp_pkg::UnitDot && wb_dot_q));
      FusedIsLoad: assert (!(wb_dot_q && !wb_load_q));
      // Late results belong to the float registers.
      LateIsFloat: assert (!(retire && fpu_late && rd_we));
    end
  end
`endif

  logic unused_core;
  assign unused_core = ^fflags;

`ifdef ESP_RVFI
  logic        rvfi_valid_q;
  logic [63:0] rvfi_order_q;
  logic        rvfi_trap_q;
  logic        rvfi_intr_q;
  logic [31:0] rvfi_insn_q;
  logic [31:0] rvfi_pc_q;
  logic [31:0] rvfi_next_pc_q;
  logic [4:0]  rvfi_rs1_addr_q;
  logic [4:0]  rvfi_rs2_addr_q;
  logic [4:0]  rvfi_rs3_addr_q;
  logic [2:0]  rvfi_use_float_q;
  logic [31:0] rvfi_rs1_q;
  logic [31:0] rvfi_rs2_q;
  logic [31:0] rvfi_rs3_q;
  logic [31:0] rvfi_frs1_q;
  logic [31:0] rvfi_frs2_q;
  logic [31:0] rvfi_frs3_q;
  logic        rvfi_late_q;
  logic [31:0] rvfi_mem_addr_q;
  logic [3:0]  rvfi_mem_rmask_q;
  logic [3:0]  rvfi_mem_wmask_q;
  logic [31:0] rvfi_mem_wdata_q;
  logic [3:0]  rvfi_cause_q;
  logic [31:0] rvfi_tval_q;

  always_ff @(posedge clk_i) begin
    rvfi_valid_q <= srst_ni & ex_done;
    if (!srst_ni) begin
      // The first instruction is number 0.
      rvfi_order_q <= '1;
      rvfi_trap_q <= 1'b0;
      rvfi_intr_q <= 1'b0;
    end else if (ex_done) begin
      rvfi_order_q <= rvfi_order_q + 64'd1;
      rvfi_trap_q <= take_trap;
      // The first instruction of a handler.
      rvfi_intr_q <= rvfi_trap_q;
      rvfi_insn_q <= id_instr;
      rvfi_pc_q <= id_pc;
      rvfi_next_pc_q <= redirect ? redirect_target : id_pc + 32'd4;
      rvfi_late_q <= retire & frd_we & fpu_late;
      // An instruction that traps may be none at all: it has no sources. Register 0 is none either.
      rvfi_rs1_addr_q <= retire & use_rs1 ? rs1 : '0;
      rvfi_rs2_addr_q <= retire & use_rs2 ? rs2 : '0;
      rvfi_rs1_q <= retire & use_rs1 ? rs1_value : '0;
      rvfi_rs2_q <= retire & use_rs2 ? rs2_value : '0;
      rvfi_rs3_addr_q <= '0;
      rvfi_rs3_q <= '0;
      if (Dot && (unit == esp_pkg::UnitDot || load_dot) && retire) begin
        rvfi_rs3_addr_q <= rd;
        rvfi_rs3_q <= acc_value;
      end
      rvfi_use_float_q <= '0;
      if (is_float) begin
        rvfi_use_float_q <= {3{retire && Float}} & {use_frs3, use_frs2, use_frs1};
        rvfi_frs1_q <= frs1_value;
        rvfi_frs2_q <= frs2_value;
        rvfi_frs3_q <= frs3_value;
      end
      rvfi_mem_rmask_q <= '0;
      rvfi_mem_wmask_q <= '0;
      if (is_mem) begin
        rvfi_mem_rmask_q <= retire & ~is_store ? data_be_o : '0;
        rvfi_mem_wmask_q <= retire & is_store ? data_be_o : '0;
        rvfi_mem_addr_q <= {mem_addr[31:2], 2'b00};
        rvfi_mem_wdata_q <= data_wdata_o;
      end
      if (take_trap) begin
        rvfi_cause_q <= cause;
        rvfi_tval_q <= tval;
      end
    end
  end

  assign rvfi_valid = rvfi_valid_q;
  assign rvfi_order = rvfi_order_q;
  assign rvfi_insn = rvfi_insn_q;
  assign rvfi_trap = rvfi_trap_q;
  assign rvfi_halt = 1'b0;
  assign rvfi_intr = rvfi_intr_q;
  assign rvfi_mode = 2'd3;
  assign rvfi_ixl = 2'd1;
  assign rvfi_pc_rdata = rvfi_pc_q;
  assign rvfi_pc_wdata = rvfi_next_pc_q;

  assign rvfi_rs1_addr = rvfi_rs1_addr_q;
  assign rvfi_rs2_addr = rvfi_rs2_addr_q;
  assign rvfi_rs3_addr = rvfi_rs3_addr_q;
  assign rvfi_rs1_rdata = rvfi_rs1_q;
  assign rvfi_rs2_rdata = rvfi_rs2_q;
  assign rvfi_rs3_rdata = rvfi_rs3_q;
  assign rvfi_rd_addr = wb_rd_we_q ? wb_rd_q : '0;
  assign rvfi_rd_wdata = wb_rd_we_q ? wb_data : '0;

  assign rvfi_frs1_addr = rvfi_insn_q[19:15];
  assign rvfi_frs2_addr = rvfi_insn_q[24:20];
  assign rvfi_frs3_addr = rvfi_insn_q[31:27];
  assign rvfi_frs1_rvalid = rvfi_use_float_q[0];
  assign rvfi_frs2_rvalid = rvfi_use_float_q[1];
  assign rvfi_frs3_rvalid = rvfi_use_float_q[2];
  assign rvfi_frs1_rdata = rvfi_frs1_q;
  assign rvfi_frs2_rdata = rvfi_frs2_q;
  assign rvfi_frs3_rdata = rvfi_frs3_q;
  assign rvfi_frd_wvalid = wb_frd_we_q;
  assign rvfi_frd_addr = wb_rd_q;
  assign rvfi_frd_wdata = wb_data;

  assign rvfi_mem_addr = rvfi_mem_addr_q;
  assign rvfi_mem_rmask = rvfi_mem_rmask_q;
  assign rvfi_mem_wmask = rvfi_mem_wmask_q;
  assign rvfi_mem_rdata = data_rdata_i;
  assign rvfi_mem_wdata = rvfi_mem_wdata_q;

  assign rvfi_ext_cause = rvfi_cause_q;
  assign rvfi_ext_tval = rvfi_tval_q;
  assign rvfi_ext_mtvec = mtvec;
  assign rvfi_ext_late = rvfi_late_q;
  assign rvfi_ext_late_valid = round_valid;
  assign rvfi_ext_late_addr = round_rd;
  assign rvfi_ext_late_wdata = late_result;
`endif

endmodule
