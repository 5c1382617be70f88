// SPDX-License-Identifier: MIT
// Functional cover points of the core: what a test has to have made happen. Bound into esp_core by
// verification; never part of the core.
module esp_cover (
  input logic             clk_i,
  input logic             srst_ni,

  // Execute stage.
  input logic             id_valid_i,
  input logic             ex_done_i,
  input logic             retire_i,
  input logic             take_trap_i,
  input esp_pkg::cause_e  cause_i,
  input esp_pkg::unit_e   unit_i,
  input esp_pkg::fpu_op_e fpu_op_i,
  input esp_pkg::rm_t     rm_i,
  input logic [31:0]      instr_i,
  input logic             jump_i,
  input logic             use_rs1_i,
  input logic             use_rs2_i,
  input logic             load_dot_i,
  input logic             use_frs1_i,
  input logic             use_frs2_i,
  input logic             use_frs3_i,
  input logic             frd_we_i,
  input logic             is_float_i,
  input logic             float_hazard_i,
  input logic             hazard_i,

  // Ports to memory.
  input logic             instr_req_i,
  input logic             instr_ready_i,
  input logic             redirect_i,
  input logic             data_req_i,
  input logic             data_ready_i,
  input logic             data_we_i,
  input logic             data_err_i,

  // Write-back and the stages behind.
  input logic             wb_rd_we_i,
  input logic             wb_frd_we_i,
  input logic             wb_load_i,
  input logic             wb_dot_i,
  input logic [4:0]       wb_rd_i,
  input logic             add_valid_i,
  input logic [4:0]       add_rd_i,
  input logic             round_valid_i,
  input logic [4:0]       round_rd_i,
  input logic [31:0]      late_result_i,
  input esp_pkg::fflags_t late_flags_i
);

  logic [2:0] funct3;
  logic [4:0] rs1;
  logic [4:0] rs2;
  logic [4:0] rs3;
  logic [4:0] rd;
  logic       needs_rd;
  logic       multiplies;
  logic       floats;
  logic       adds;
  logic       branches;
  assign funct3 = instr_i[14:12];
  assign rs1 = instr_i[19:15];
  assign rs2 = instr_i[24:20];
  assign rs3 = instr_i[31:27];
  assign rd = instr_i[11:7];
  assign needs_rd = wb_rd_we_i && wb_rd_i == rd;
  assign floats = unit_i == esp_pkg::UnitFpu;
  assign adds = floats && fpu_op_i <= esp_pkg::FpuMul;
  assign branches = retire_i && unit_i == esp_pkg::UnitBranch;
  assign multiplies = unit_i == esp_pkg::UnitMul || unit_i == esp_pkg::UnitDiv;

  // Every kind of instruction completes; ecall and ebreak always trap.
  // One point a line: those of a generate loop would be counted as one.
  RetiresAlu: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitAlu);
  RetiresMul: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitMul);
  RetiresDot: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitDot);
  RetiresDiv: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitDiv);
  RetiresLoad: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitLoad);
  RetiresLoadDot: cover property (@(posedge clk_i) retire_i && load_dot_i);
  RetiresStore: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitStore);
  RetiresBranch: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitBranch);
  RetiresJal: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitJal);
  RetiresJalr: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitJalr);
  RetiresCsr: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitCsr);
  RetiresFpu: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitFpu);
  RetiresFenceI: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitFenceI);
  RetiresMret: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitMret);
  RetiresNop: cover property (@(posedge clk_i) retire_i && unit_i == esp_pkg::UnitNop);
  MulDivMul: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd0);
  MulDivMulh: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd1);
  MulDivMulhsu: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd2);
  MulDivMulhu: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd3);
  MulDivDiv: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd4);
  MulDivDivu: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd5);
  MulDivRem: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd6);
  MulDivRemu: cover property (@(posedge clk_i) retire_i && multiplies && funct3 == 3'd7);
  FloatMadd: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuMadd);
  FloatMsub: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuMsub);
  FloatNmsub: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuNmsub);
  FloatNmadd: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuNmadd);
  FloatAdd: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuAdd);
  FloatSub: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuSub);
  FloatMul: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuMul);
  FloatDiv: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuDiv);
  FloatSqrt: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuSqrt);
  FloatSgnj: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuSgnj);
  FloatMinMax: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuMinMax);
  FloatCompare: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuCompare);
  FloatFloatToInt: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuFloatToInt);
  FloatIntToFloat: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuIntToFloat);
  FloatMoveToInt: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuMoveToInt);
  FloatMoveToFloat: cover property (@(posedge clk_i)
      retire_i && floats && fpu_op_i == esp_pkg::FpuMoveToFloat);
  FloatClass: cover property (@(posedge clk_i) retire_i && floats && fpu_op_i == esp_pkg::FpuClass);
  MultiplyAddRne: cover property (@(posedge clk_i) retire_i && adds && rm_i == esp_pkg::RmRne);
  MultiplyAddRtz: cover property (@(posedge clk_i) retire_i && adds && rm_i == esp_pkg::RmRtz);
  MultiplyAddRdn: cover property (@(posedge clk_i) retire_i && adds && rm_i == esp_pkg::RmRdn);
  MultiplyAddRup: cover property (@(posedge clk_i) retire_i && adds && rm_i == esp_pkg::RmRup);
  MultiplyAddRmm: cover property (@(posedge clk_i) retire_i && adds && rm_i == esp_pkg::RmRmm);
  TakenBeq: cover property (@(posedge clk_i) branches && funct3 == 3'd0 && jump_i);
  NotTakenBeq: cover property (@(posedge clk_i) branches && funct3 == 3'd0 && !jump_i);
  TakenBne: cover property (@(posedge clk_i) branches && funct3 == 3'd1 && jump_i);
  NotTakenBne: cover property (@(posedge clk_i) branches && funct3 == 3'd1 && !jump_i);
  TakenBlt: cover property (@(posedge clk_i) branches && funct3 == 3'd4 && jump_i);
  NotTakenBlt: cover property (@(posedge clk_i) branches && funct3 == 3'd4 && !jump_i);
  TakenBge: cover property (@(posedge clk_i) branches && funct3 == 3'd5 && jump_i);
  NotTakenBge: cover property (@(posedge clk_i) branches && funct3 == 3'd5 && !jump_i);
  TakenBltu: cover property (@(posedge clk_i) branches && funct3 == 3'd6 && jump_i);
  NotTakenBltu: cover property (@(posedge clk_i) branches && funct3 == 3'd6 && !jump_i);
  TakenBgeu: cover property (@(posedge clk_i) branches && funct3 == 3'd7 && jump_i);
  NotTakenBgeu: cover property (@(posedge clk_i) branches && funct3 == 3'd7 && !jump_i);

  // Every fault, and every unit that one can come from.
  TrapInstrMisaligned: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseInstrMisaligned);
  TrapInstrAccess: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseInstrAccess);
  TrapIllegal: cover property (@(posedge clk_i) take_trap_i && cause_i == esp_pkg::CauseIllegal);
  TrapBreakpoint: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseBreakpoint);
  TrapLoadMisaligned: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseLoadMisaligned);
  TrapLoadAccess: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseLoadAccess);
  TrapStoreMisaligned: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseStoreMisaligned);
  TrapStoreAccess: cover property (@(posedge clk_i)
      take_trap_i && cause_i == esp_pkg::CauseStoreAccess);
  TrapEcallM: cover property (@(posedge clk_i) take_trap_i && cause_i == esp_pkg::CauseEcallM);
  TrapLoadDotMisaligned: cover property (@(posedge clk_i)
      take_trap_i && load_dot_i && cause_i == esp_pkg::CauseLoadMisaligned);
  TrapLoadDotAccess: cover property (@(posedge clk_i)
      take_trap_i && load_dot_i && cause_i == esp_pkg::CauseLoadAccess);
  TrapUnderLoadDot: cover property (@(posedge clk_i) take_trap_i && wb_dot_i);
  IllegalCsr: cover property (@(posedge clk_i) take_trap_i && unit_i == esp_pkg::UnitCsr);
  IllegalFloat: cover property (@(posedge clk_i) take_trap_i && is_float_i && cause_i == 4'd2);
  logic trapped_q;
  always_ff @(posedge clk_i) begin
    if (!srst_ni) trapped_q <= 1'b0;
    else if (ex_done_i) trapped_q <= take_trap_i;
  end
  logic after_dot_q;
  always_ff @(posedge clk_i) begin
    after_dot_q <= srst_ni & retire_i & (unit_i == esp_pkg::UnitDot);
  end
  TrapInFirstOfHandler: cover property (@(posedge clk_i) take_trap_i && trapped_q);

  // Every way to forward, and every wait.
  ForwardA: cover property (@(posedge clk_i)
      ex_done_i && wb_rd_we_i && !wb_load_i && use_rs1_i && wb_rd_i == rs1);
  ForwardB: cover property (@(posedge clk_i)
      ex_done_i && wb_rd_we_i && !wb_load_i && use_rs2_i && wb_rd_i == rs2);
  ForwardAccumulator: cover property (@(posedge clk_i)
      ex_done_i && wb_rd_we_i && !wb_load_i && unit_i == esp_pkg::UnitDot && wb_rd_i == rd);
  ForwardFloat: cover property (@(posedge clk_i)
      ex_done_i && wb_frd_we_i && !wb_load_i && use_frs1_i && wb_rd_i == rs1);
  LoadWaitA: cover property (@(posedge clk_i)
      hazard_i && wb_load_i && wb_rd_we_i && use_rs1_i && wb_rd_i == rs1);
  LoadWaitB: cover property (@(posedge clk_i)
      hazard_i && wb_load_i && wb_rd_we_i && use_rs2_i && wb_rd_i == rs2);
  LoadWaitAccumulator: cover property (@(posedge clk_i)
      hazard_i && wb_load_i && wb_rd_we_i && unit_i == esp_pkg::UnitDot && wb_rd_i == rd);
  LoadWaitFloat: cover property (@(posedge clk_i)
      float_hazard_i && wb_load_i && wb_frd_we_i && use_frs1_i && wb_rd_i == rs1);
  ForwardLoadDotAccumulator: cover property (@(posedge clk_i)
      ex_done_i && !wb_load_i && load_dot_i && needs_rd);
  LoadWaitLoadDotAccumulator: cover property (@(posedge clk_i)
      hazard_i && wb_load_i && !wb_dot_i && load_dot_i && needs_rd);
  LoadDotWaitA: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && wb_rd_we_i && use_rs1_i && wb_rd_i == rs1);
  LoadDotWaitB: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && wb_rd_we_i && use_rs2_i && wb_rd_i == rs2);
  LoadDotWaitAddress: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && wb_rd_we_i && load_dot_i && wb_rd_i == rs1);
  LoadDotWaitAccumulator: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && load_dot_i && needs_rd);
  LoadDotEveryCycle: cover property (@(posedge clk_i) retire_i && wb_dot_i && load_dot_i);
  DotWaitsForUnit: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && unit_i == esp_pkg::UnitDot && !needs_rd);
  DotWaitsForUnitAndResult: cover property (@(posedge clk_i)
      hazard_i && wb_dot_i && unit_i == esp_pkg::UnitDot && needs_rd);
  DotBeforeLoadDot: cover property (@(posedge clk_i)
      retire_i && load_dot_i && wb_rd_we_i && !wb_load_i && after_dot_q);
  LoadDotToNothing: cover property (@(posedge clk_i) retire_i && load_dot_i && rd == 5'd0);
  LoadDotFirstWord: cover property (@(posedge clk_i)
      retire_i && load_dot_i && instr_i[31:25] == 7'd0);
  LoadDotLastWord: cover property (@(posedge clk_i)
      retire_i && load_dot_i && instr_i[31:25] == 7'd127);
  AddWait1: cover property (@(posedge clk_i)
      float_hazard_i && add_valid_i && use_frs1_i && add_rd_i == rs1);
  AddWait2: cover property (@(posedge clk_i)
      float_hazard_i && add_valid_i && use_frs2_i && add_rd_i == rs2);
  AddWait3: cover property (@(posedge clk_i)
      float_hazard_i && add_valid_i && use_frs3_i && add_rd_i == rs3);
  AddWaitDestination: cover property (@(posedge clk_i)
      float_hazard_i && add_valid_i && frd_we_i && add_rd_i == rd);
  RoundWait1: cover property (@(posedge clk_i)
      float_hazard_i && round_valid_i && use_frs1_i && round_rd_i == rs1);
  RoundWait2: cover property (@(posedge clk_i)
      float_hazard_i && round_valid_i && use_frs2_i && round_rd_i == rs2);
  RoundWait3: cover property (@(posedge clk_i)
      float_hazard_i && round_valid_i && use_frs3_i && round_rd_i == rs3);
  CsrWaitsForFlags: cover property (@(posedge clk_i)
      id_valid_i && unit_i == esp_pkg::UnitCsr && (add_valid_i || round_valid_i));
  TwoFloatWrites: cover property (@(posedge clk_i) wb_frd_we_i && round_valid_i);
  DivideBehindMultiplyAdd: cover property (@(posedge clk_i)
      id_valid_i && fpu_op_i == esp_pkg::FpuDiv && unit_i == esp_pkg::UnitFpu && add_valid_i);
  TrapUnderLateResult: cover property (@(posedge clk_i) take_trap_i && add_valid_i);
  JumpUnderLateResult: cover property (@(posedge clk_i) retire_i && jump_i && round_valid_i);

  // Every kind of wait for memory.
  InstrWaits: cover property (@(posedge clk_i) instr_req_i && !instr_ready_i);
  JumpWaits: cover property (@(posedge clk_i) redirect_i && instr_req_i && !instr_ready_i);
  LoadWaits: cover property (@(posedge clk_i) data_req_i && !data_ready_i && !data_we_i);
  LoadDotWaits: cover property (@(posedge clk_i)
      data_req_i && !data_ready_i && load_dot_i);
  LoadDotWaitsBehindAnother: cover property (@(posedge clk_i)
      data_req_i && !data_ready_i && load_dot_i && wb_dot_i);
  StoreWaits: cover property (@(posedge clk_i) data_req_i && !data_ready_i && data_we_i);
  FaultWaits: cover property (@(posedge clk_i) data_req_i && !data_ready_i && data_err_i);
  BothWait: cover property (@(posedge clk_i)
      data_req_i && !data_ready_i && instr_req_i && !instr_ready_i);
  WaitUnderLateResult: cover property (@(posedge clk_i)
      data_req_i && !data_ready_i && round_valid_i);

  // Every kind of late result and every flag of one.
  LateZero: cover property (@(posedge clk_i) round_valid_i && late_result_i[30:0] == '0);
  LateSubnormal: cover property (@(posedge clk_i)
      round_valid_i && late_result_i[30:23] == '0 && late_result_i[22:0] != '0);
  LateInfinite: cover property (@(posedge clk_i)
      round_valid_i && late_result_i[30:0] == 31'h7F80_0000);
  LateNan: cover property (@(posedge clk_i)
      round_valid_i && late_result_i == esp_pkg::CanonicalNan);
  LateInvalid: cover property (@(posedge clk_i) round_valid_i && late_flags_i.nv);
  LateDivideByZero: cover property (@(posedge clk_i) round_valid_i && late_flags_i.dz);
  LateOverflow: cover property (@(posedge clk_i) round_valid_i && late_flags_i.of);
  LateUnderflow: cover property (@(posedge clk_i) round_valid_i && late_flags_i.uf);
  LateInexact: cover property (@(posedge clk_i) round_valid_i && late_flags_i.nx);

endmodule

bind esp_core esp_cover u_cover (
  .clk_i,
  .srst_ni,
  .id_valid_i(id_valid),
  .ex_done_i(ex_done),
  .retire_i(retire),
  .take_trap_i(take_trap),
  .cause_i(cause),
  .unit_i(unit),
  .fpu_op_i(fpu_op),
  .rm_i(rm),
  .instr_i(id_instr),
  .jump_i(jump),
  .use_rs1_i(use_rs1),
  .use_rs2_i(use_rs2),
  .load_dot_i(load_dot),
  .use_frs1_i(use_frs1),
  .use_frs2_i(use_frs2),
  .use_frs3_i(use_frs3),
  .frd_we_i(frd_we),
  .is_float_i(is_float),
  .float_hazard_i(float_hazard),
  .hazard_i(id_valid & hazard),
  .instr_req_i(instr_req_o),
  .instr_ready_i,
  .redirect_i(redirect),
  .data_req_i(data_req_o),
  .data_ready_i,
  .data_we_i(data_we_o),
  .data_err_i,
  .wb_rd_we_i(wb_rd_we_q),
  .wb_frd_we_i(wb_frd_we_q),
  .wb_load_i(wb_load_q),
  .wb_dot_i(wb_dot_q),
  .wb_rd_i(wb_rd_q),
  .add_valid_i(add_valid),
  .add_rd_i(add_rd),
  .round_valid_i(round_valid),
  .round_rd_i(round_rd),
  .late_result_i(late_result),
  .late_flags_i(late_flags)
);
