#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the RTL on purpose, one small change at a time, and asks whether the checks notice.

    hw/dv/mutation_check.py [--work DIR] [--first N] [--count N]

Each mutation is built in a copy of hw/ and given to espalier-lockstep and espalier-fpu-check with
the counts of the fast tests; other cycles are noticed, too. One that survives is a hole in the
verification; so is one that does not build, for it has shown nothing. Assertions are left out, so that the comparisons have to
notice. The RTL without mutations must pass first. Takes about half a minute per mutation.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

HW = pathlib.Path(__file__).resolve().parents[1]

# (file, text, replacement)
MUTATIONS = [
    ("esp_core.sv", "assign rs1_value = wb_match_a ? wb_result_q : reg_a;",
     "assign rs1_value = reg_a;"),
    ("esp_core.sv", "hazard = hazard || (use_rs1 && wb_match_a) || (use_rs2 && wb_match_b) ||",
     "hazard = hazard || (use_rs1 && wb_match_a) ||"),
    ("esp_core.sv", "(use_frs3 && add_rd == rs3) || (frd_we && add_rd == rd);",
     "(use_frs3 && add_rd == rs3);"),
    ("esp_core.sv", "if (unit == esp_pkg::UnitCsr) hazard = hazard || add_valid || round_valid;",
     "if (unit == esp_pkg::UnitCsr) hazard = hazard || add_valid;"),
    ("esp_core.sv", "trap = jump & jump_target[1];", "trap = 1'b0;"),
    ("esp_core.sv", "assign csr_write = funct3[1:0] == 2'd1 || rs1 != 5'd0;",
     "assign csr_write = 1'b1;"),
    ("esp_fetch.sv", "id_valid_q <= if_valid_q & ~redirect_i;", "id_valid_q <= if_valid_q;"),
    ("esp_csr.sv", "mpie_q <= mie_q;", ""),
    ("esp_csr.sv", "fflags_q <= fflags_q | fflags_i | late_fflags_i;",
     "fflags_q <= fflags_q | fflags_i;"),
    ("esp_csr.sv", "if (fs_dirty_i) fs_q <= 2'd3;", ""),
    ("esp_div.sv", "&& b_i != '0 ? -quotient_q", "? -quotient_q"),
    ("esp_mul.sv", "b = {b_i[31] & ~funct_i[1], b_i};", "b = {b_i[31], b_i};"),
    ("esp_mul.sv", "a = {a_i[31] & (funct_i != 2'd3), a_i};", "a = {a_i[31], a_i};"),
    ("esp_dot.sv", "product(a_i[31:24], b_i[31:24])", "product(a_i[31:24], b_i[23:16])"),
    ("esp_dot.sv", "logic signed [17:0] sum;", "logic signed [16:0] sum;"),
    ("esp_regfile.sv", "assign rdata_b_o = raddr_b_i == '0 ? '0 : regs_q[raddr_b_i];",
     "assign rdata_b_o = raddr_b_i == '0 ? '1 : regs_q[raddr_b_i];"),
    ("esp_core.sv", "rvfi_next_pc_q <= redirect ? redirect_target : id_pc + 32'd4;",
     "rvfi_next_pc_q <= id_pc + 32'd4;"),
    ("esp_core.sv", "rvfi_intr_q <= rvfi_trap_q;", "rvfi_intr_q <= 1'b0;"),
    ("esp_core.sv", "rvfi_mem_rmask_q <= retire & ~is_store ? data_be_o : '0;",
     "rvfi_mem_rmask_q <= retire & ~is_store ? '1 : '0;"),
    ("esp_core.sv", "if (is_mem) ex_done = ex_go & data_ready_i;", ""),
    ("esp_core.sv", "trap = mem_misaligned | (data_ready_i & data_err_i);",
     "trap = mem_misaligned;"),
    ("esp_fetch.sv", "if_valid_q <= instr_ready_i;", "if_valid_q <= 1'b1;"),
    ("esp_fetch.sv", "redirect_i | id_ready_i | ~if_valid_q;", "redirect_i | id_ready_i;"),
    ("esp_lsu.sv", "3'd1:    load_data_o = {{16{shifted[15]}}", "3'd1:    load_data_o = {{16{1'b0}}"),
    ("esp_soc.sv", "(data_in_flash & ~data_we)", "data_in_flash"),
    ("esp_fpu_round.sv", "flags_o.uf = ~reaches_normal;", "flags_o.uf = 1'b1;"),
    ("esp_fpu_round.sv", "normal_exponent == '0 && norm[61:38] == '1 &&",
     "normal_exponent == '0 && norm[61:39] == '1 &&"),
    ("esp_fpu_fma.sv", "sign_o = rm_q == esp_pkg::RmRdn;", "sign_o = 1'b0;"),
    ("esp_fpu_fma.sv", "if (product_q == '0) begin", "if (1'b0) begin"),
    ("esp_fpu_fma.sv", "(esp_pkg::is_zero(x) & esp_pkg::is_inf(y))", "1'b0"),
    ("esp_pkg.sv", "shifted[0] = shifted[0] | ((shifted << amount[5:0]) != value);", ""),
    ("esp_pkg.sv", "RmRne:   round_up = guard & (lsb | sticky);",
     "RmRne:   round_up = guard & lsb;"),
    ("esp_fpu_divsqrt.sv", "localparam logic [4:0] Steps = 5'd27;",
     "localparam logic [4:0] Steps = 5'd26;"),
    ("esp_fpu_divsqrt.sv", "32'b0, remainder_q != '0}", "33'b0}"),
    ("esp_fpu_misc.sv", "magnitude > 33'h0_7FFF_FFFF", "magnitude > 33'h0_8000_0000"),
    ("esp_fpu_misc.sv", "(esp_pkg::is_zero(a_i) && esp_pkg::is_zero(b_i) && a_i[31])", "1'b0"),
    ("esp_core.sv", "if (wb_dot_q) hazard = hazard || unit == esp_pkg::UnitDot;", ""),
    ("esp_core.sv", "(Dot && (unit == esp_pkg::UnitDot || load_dot) && wb_match_c);",
     "(Dot && unit == esp_pkg::UnitDot && wb_match_c);"),
    ("esp_core.sv", "assign mem_size = load_dot ? 2'd2 : funct3[1:0];",
     "assign mem_size = funct3[1:0];"),
    ("esp_core.sv", "if (load_dot) ex_result = acc_value;", "if (load_dot) ex_result = reg_c;"),
    ("esp_core.sv", "if (load_dot) wb_bytes_q <= rs2_value;",
     "if (load_dot) wb_bytes_q <= reg_b;"),
    ("esp_core.sv", ".b_i(wb_dot_q ? wb_bytes_q : rs2_value),", ".b_i(rs2_value),"),
    ("esp_core.sv", "if (wb_dot_q) wb_data = dot_result;",
     "if (wb_dot_q) wb_data = load_data;"),
    ("esp_core.sv", "if (Dot && (unit == esp_pkg::UnitDot || load_dot) && retire) begin",
     "if (Dot && unit == esp_pkg::UnitDot && retire) begin"),
    ("esp_decoder.sv", "imm_o = {23'b0, funct7, 2'b00};",
     "imm_o = {{23{funct7[6]}}, funct7, 2'b00};"),
    ("esp_decoder.sv", "rd_we_o = 1'b1;\n          illegal_o = funct3 != 3'd0;",
     "rd_we_o = 1'b1;\n          illegal_o = 1'b0;"),
]


CHECKS = [
    ["espalier-lockstep", "--programs", "20"],
    ["espalier-lockstep", "--programs", "20", "--random-wait", "1"],
    ["espalier-lockstep", "--programs", "20", "--load-dot"],
    ["espalier-fpu-check"],
]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def first_line(text):
    lines = text.strip().splitlines()
    return lines[0][:110] if lines else ""


class DoesNotBuild(Exception):
    pass


def check(build, told):
    """Returns who noticed, with the message, or None. What nobody has to run is not built. `told` has
    what each check says of the RTL as it stands, cycles among it, once it has run there."""
    for command in CHECKS:
        built = run(["cmake", "--build", str(build), "-j2", "--target", command[0]])
        if built.returncode != 0:
            raise DoesNotBuild(built.stdout[-2000:] + built.stderr[-2000:])
        try:
            result = run([str(build / command[0]), *command[1:]], timeout=120)
        except subprocess.TimeoutExpired:
            return command[0] + ": does not end"
        if result.returncode != 0:
            found = [line for line in result.stdout.splitlines() if "agree" not in line]
            return command[0] + ": " + (found[0][:110] if found else "crashed")
        if told.setdefault(tuple(command), result.stdout) != result.stdout:
            return command[0] + ": " + first_line(result.stdout) + ", which took other cycles"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", help="folder for the copy; default: a temporary one")
    parser.add_argument("--first", type=int, default=0, help="mutation to begin with")
    parser.add_argument("--count", type=int, default=len(MUTATIONS), help="how many of them")
    arguments = parser.parse_args()
    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix="espalier-mutation-"))
    copy, build = work / "hw", work / "build"
    shutil.copytree(HW, copy, dirs_exist_ok=True)
    # Unused signals are a matter of course in a mutation; each model is built for one short run.
    cmake = (HW / "CMakeLists.txt").read_text()
    cmake = cmake.replace("-Wall -O3", "-Wno-fatal -O3").replace(",-O1,-O3>", ",-O1,-O1>")
    cmake = cmake.replace(" -DESP_ASSERT --assert", "")
    (copy / "CMakeLists.txt").write_text(cmake)
    configured = run(["cmake", "-S", str(copy), "-B", str(build), "-G", "Ninja"])
    if configured.returncode != 0:
        sys.exit("cannot be configured:\n" + configured.stderr)
    told = {}
    try:
        noticed = check(build, told)
    except DoesNotBuild as error:
        sys.exit(f"does not build without mutations:\n{error}")
    if noticed:
        sys.exit("fails without mutations: " + noticed)
    survivors = 0
    chosen = list(enumerate(MUTATIONS))[arguments.first:arguments.first + arguments.count]
    for number, (name, text, replacement) in chosen:
        path = copy / "rtl" / name
        source = path.read_text()
        if text not in source:
            print(f"{number:2} {name}: no longer there: {text}")
            survivors += 1
            continue
        path.write_text(source.replace(text, replacement, 1))
        try:
            noticed = check(build, told)
        except DoesNotBuild as error:
            noticed = None
            print(f"{number:2} {name}: does not build: {first_line(str(error))}", flush=True)
        path.write_text(source)
        survivors += noticed is None
        print(f"{number:2} {name}: {noticed or 'SURVIVED: ' + text}", flush=True)
    if arguments.work is None:
        shutil.rmtree(work)
    noticed = len(chosen) - survivors
    print(f"score: {noticed} of {len(chosen)} mutations were noticed"
          f" ({100 * noticed / max(1, len(chosen)):.0f} %)")
    return 0 if survivors == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
