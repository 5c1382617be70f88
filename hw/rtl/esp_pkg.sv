// SPDX-License-Identifier: MIT
// Types, encodings and small float helpers of the core. No state, no ports.
//
// Functions assign to their name: Yosys knows no `return`.
package esp_pkg;

  // Major opcodes, bits 6:2 of an instruction. Bits 1:0 are always 2'b11.
  typedef enum logic [4:0] {
    OpcLoad    = 5'b00000,
    OpcLoadFp  = 5'b00001,
    OpcCustom0 = 5'b00010,
    OpcMiscMem = 5'b00011,
    OpcOpImm   = 5'b00100,
    OpcAuipc   = 5'b00101,
    OpcStore   = 5'b01000,
    OpcStoreFp = 5'b01001,
    OpcOp      = 5'b01100,
    OpcLui     = 5'b01101,
    OpcOp32    = 5'b01110,
    OpcMadd    = 5'b10000,
    OpcMsub    = 5'b10001,
    OpcNmsub   = 5'b10010,
    OpcNmadd   = 5'b10011,
    OpcOpFp    = 5'b10100,
    OpcBranch  = 5'b11000,
    OpcJalr    = 5'b11001,
    OpcJal     = 5'b11011,
    OpcSystem  = 5'b11100
  } opcode_e;

  // What the execute stage does with an instruction.
  typedef enum logic [3:0] {
    UnitAlu,
    UnitMul,
    UnitDot,
    UnitDiv,
    UnitLoad,
    UnitStore,
    UnitBranch,
    UnitJal,
    UnitJalr,
    UnitCsr,
    UnitFpu,
    UnitFenceI,
    UnitEcall,
    UnitEbreak,
    UnitMret,
    UnitNop
  } unit_e;

  // funct3 with the alternate-encoding bit in front. Taken from the instruction as it stands, hence
  // not an enum.
  typedef logic [3:0] alu_op_t;
  localparam alu_op_t AluAdd  = 4'b0000;
  localparam alu_op_t AluSll  = 4'b0001;
  localparam alu_op_t AluSlt  = 4'b0010;
  localparam alu_op_t AluSltu = 4'b0011;
  localparam alu_op_t AluXor  = 4'b0100;
  localparam alu_op_t AluSrl  = 4'b0101;
  localparam alu_op_t AluOr   = 4'b0110;
  localparam alu_op_t AluAnd  = 4'b0111;
  localparam alu_op_t AluSub  = 4'b1000;
  localparam alu_op_t AluSra  = 4'b1101;

  typedef enum logic [1:0] {
    OpASelRs1,
    OpASelPc,
    OpASelZero
  } op_a_sel_e;

  typedef enum logic [4:0] {
    FpuMadd,
    FpuMsub,
    FpuNmsub,
    FpuNmadd,
    FpuAdd,
    FpuSub,
    FpuMul,
    FpuDiv,
    FpuSqrt,
    FpuSgnj,
    FpuMinMax,
    FpuCompare,
    FpuFloatToInt,
    FpuIntToFloat,
    FpuMoveToInt,
    FpuMoveToFloat,
    FpuClass
  } fpu_op_e;

  // Rounding modes, as in the instruction and in frm.
  typedef logic [2:0] rm_t;
  localparam rm_t RmRne = 3'b000;
  localparam rm_t RmRtz = 3'b001;
  localparam rm_t RmRdn = 3'b010;
  localparam rm_t RmRup = 3'b011;
  localparam rm_t RmRmm = 3'b100;
  localparam rm_t RmDyn = 3'b111;

  // Exception codes of mcause. There are no interrupts.
  typedef enum logic [3:0] {
    CauseInstrMisaligned = 4'd0,
    CauseInstrAccess     = 4'd1,
    CauseIllegal         = 4'd2,
    CauseBreakpoint      = 4'd3,
    CauseLoadMisaligned  = 4'd4,
    CauseLoadAccess      = 4'd5,
    CauseStoreMisaligned = 4'd6,
    CauseStoreAccess     = 4'd7,
    CauseEcallM          = 4'd11
  } cause_e;

  // CSR addresses.
  localparam logic [11:0] CsrFflags    = 12'h001;
  localparam logic [11:0] CsrFrm       = 12'h002;
  localparam logic [11:0] CsrFcsr      = 12'h003;
  localparam logic [11:0] CsrMstatus   = 12'h300;
  localparam logic [11:0] CsrMisa      = 12'h301;
  localparam logic [11:0] CsrMie       = 12'h304;
  localparam logic [11:0] CsrMtvec     = 12'h305;
  localparam logic [11:0] CsrMstatush  = 12'h310;
  localparam logic [11:0] CsrMinhibit  = 12'h320;
  localparam logic [11:0] CsrMscratch  = 12'h340;
  localparam logic [11:0] CsrMepc      = 12'h341;
  localparam logic [11:0] CsrMcause    = 12'h342;
  localparam logic [11:0] CsrMtval     = 12'h343;
  localparam logic [11:0] CsrMip       = 12'h344;
  localparam logic [11:0] CsrMcycle    = 12'hB00;
  localparam logic [11:0] CsrMinstret  = 12'hB02;
  localparam logic [11:0] CsrMcycleh   = 12'hB80;
  localparam logic [11:0] CsrMinstreth = 12'hB82;
  localparam logic [11:0] CsrCycle     = 12'hC00;
  localparam logic [11:0] CsrTime      = 12'hC01;
  localparam logic [11:0] CsrInstret   = 12'hC02;
  localparam logic [11:0] CsrCycleh    = 12'hC80;
  localparam logic [11:0] CsrTimeh     = 12'hC81;
  localparam logic [11:0] CsrInstreth  = 12'hC82;
  localparam logic [11:0] CsrMvendorid = 12'hF11;
  localparam logic [11:0] CsrMarchid   = 12'hF12;
  localparam logic [11:0] CsrMimpid    = 12'hF13;
  localparam logic [11:0] CsrMhartid   = 12'hF14;
  localparam logic [11:0] CsrMconfig   = 12'hF15;

  // Register offsets inside the MMIO window.
  localparam logic [31:0] MmioBase      = 32'h1000_0000;
  localparam logic [4:0]  MmioConsole   = 5'h00;
  localparam logic [4:0]  MmioExit      = 5'h04;
  localparam logic [4:0]  MmioTrapCause = 5'h08;
  localparam logic [4:0]  MmioTrapEpc   = 5'h0C;
  localparam logic [4:0]  MmioTrapTval  = 5'h10;
  localparam logic [4:0]  MmioTrapStop  = 5'h14;
  localparam logic [4:0]  MmioFlashAt   = 5'h18;
  localparam logic [4:0]  MmioFlashByte = 5'h1C;

  // fflags bits.
  typedef struct packed {
    logic nv;
    logic dz;
    logic of;
    logic uf;
    logic nx;
  } fflags_t;

  localparam logic [31:0] FloatOne = 32'h3F80_0000;
  localparam logic [31:0] CanonicalNan = 32'h7FC0_0000;

  function automatic logic is_nan(logic [31:0] x);
    is_nan = x[30:23] == 8'hFF && x[22:0] != '0;
  endfunction

  function automatic logic is_signalling(logic [31:0] x);
    is_signalling = x[30:22] == 9'h1FE && x[21:0] != '0;
  endfunction

  function automatic logic is_inf(logic [31:0] x);
    is_inf = x[30:0] == 31'h7F80_0000;
  endfunction

  function automatic logic is_zero(logic [31:0] x);
    is_zero = x[30:0] == '0;
  endfunction

  // Significand with its hidden bit, zero and subnormals without.
  function automatic logic [23:0] significand(logic [31:0] x);
    significand = {x[30:23] != '0, x[22:0]};
  endfunction

  // Biased exponent; subnormals share that of the smallest normals.
  function automatic logic [7:0] exponent(logic [31:0] x);
    exponent = x[30:23] == '0 ? 8'd1 : x[30:23];
  endfunction

  // Leading zeros by bisection: six tests instead of a 64-way priority chain.
  function automatic logic [5:0] leading_zeros64(logic [63:0] value);
    logic [63:0] x;
    logic [5:0] n;
    x = value;
    n = '0;
    if (x[63:32] == '0) begin n[5] = 1'b1; x = x << 32; end
    if (x[63:48] == '0) begin n[4] = 1'b1; x = x << 16; end
    if (x[63:56] == '0) begin n[3] = 1'b1; x = x << 8; end
    if (x[63:60] == '0) begin n[2] = 1'b1; x = x << 4; end
    if (x[63:62] == '0) begin n[1] = 1'b1; x = x << 2; end
    if (!x[63]) n[0] = 1'b1;
    leading_zeros64 = n;
  endfunction

  function automatic logic [4:0] leading_zeros32(logic [31:0] value);
    logic [31:0] x;
    logic [4:0] n;
    x = value;
    n = '0;
    if (x[31:16] == '0) begin n[4] = 1'b1; x = x << 16; end
    if (x[31:24] == '0) begin n[3] = 1'b1; x = x << 8; end
    if (x[31:28] == '0) begin n[2] = 1'b1; x = x << 4; end
    if (x[31:30] == '0) begin n[1] = 1'b1; x = x << 2; end
    if (!x[31]) n[0] = 1'b1;
    leading_zeros32 = n;
  endfunction

  // Right shift that keeps whether anything was lost in bit 0.
  function automatic logic [63:0] shift_right_sticky(logic [63:0] value, logic [9:0] amount);
    logic [63:0] shifted;
    if (amount > 10'd63) begin
      shifted = {63'b0, value != '0};
    end else begin
      shifted = value >> amount[5:0];
      shifted[0] = shifted[0] | ((shifted << amount[5:0]) != value);
    end
    shift_right_sticky = shifted;
  endfunction

  // Whether rounding adds one unit in the last place to a magnitude.
  function automatic logic round_up(rm_t rm, logic sign, logic lsb, logic guard, logic sticky);
    unique case (rm)
      RmRne:   round_up = guard & (lsb | sticky);
      RmRdn:   round_up = sign & (guard | sticky);
      RmRup:   round_up = ~sign & (guard | sticky);
      RmRmm:   round_up = guard;
      default: round_up = 1'b0;
    endcase
  endfunction

endpackage
