"""The work of //distill:train_benchmark in plain PyTorch: what a careful user would write without a kernel of their own.

SmolLM2-135M into RAD-RWKV7 (rope, group norm, low-rank gate). Stage 1 aligns the mixers, stage 2 matches the logits.
The recurrence is the chunked WY form (16 tokens a chunk) in batched matrix products; autocast for bf16; AdamW.
tools/benchmark_training.py runs this and ours alternately.

    train_torch.py --stage 1 --dtype bf16 --batch 2 --ctx 512 --steps 4 --threads 2
"""
import argparse
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD, WORDS, LAYERS = 576, 9, 3, 64, 1536, 49152, 30
DECAY_RANK, RATE_RANK, VALUE_RANK, GATE_RANK, CHUNK = 32, 32, 32, 96, 16


def rotate(x, cos, sin):
    return x * cos + torch.cat([-x[..., HEAD // 2:], x[..., :HEAD // 2]], -1) * sin


def wkv7(r, log_w, k, v, a, b):
    """[B,H,T,D] each; h_t = diag(w_t) h_{t-1} + b_t (a_t^T h_{t-1}) + k_t v_t^T, o_t = r_t^T h_t."""
    batch, heads, time_, dim = r.shape
    chunks = time_ // CHUNK
    r, log_w, k, v, a, b = (x.reshape(batch * heads, chunks, CHUNK, dim) for x in (r, log_w, k, v, a, b))
    total = log_w.cumsum(2)
    before, middle, end = total - log_w, total[:, :, CHUNK // 2:CHUNK // 2 + 1], total[:, :, -1:]
    r_in, a_in = r * (total - middle).exp(), a * (before - middle).exp()
    k_in, b_in = k * (middle - total).exp(), b * (middle - total).exp()
    r_state, a_state = r_in * middle.exp(), a_in * middle.exp()
    k_out, b_out = (k * (end - total).exp()).transpose(2, 3), (b * (end - total).exp()).transpose(2, 3)
    decay = end.exp().transpose(2, 3)
    rk, rb = (r_in @ k_in.transpose(2, 3)).tril(), (r_in @ b_in.transpose(2, 3)).tril()
    ak, ab = (a_in @ k_in.transpose(2, 3)).tril(-1), (a_in @ b_in.transpose(2, 3)).tril(-1)
    solved = torch.linalg.solve_triangular(torch.eye(CHUNK) - ab, torch.cat([a_state, ak @ v], -1), upper=False,
                                           unitriangular=True)
    w, u = solved.split(dim, -1)
    inner = rk @ v
    state, out = r.new_zeros(batch * heads, dim, dim), []
    for w_, u_, r_, rb_, i_, k_, b_, d_, v_ in zip(*[x.unbind(1) for x in (w, u, r_state, rb, inner, k_out, b_out, decay, v)]):
        y = torch.baddbmm(u_, w_, state)
        out.append(torch.baddbmm(torch.baddbmm(i_, r_, state), rb_, y))
        state = torch.baddbmm(torch.baddbmm(state * d_, k_, v_), b_, y)
    return torch.stack(out, 1).reshape(batch, heads, time_, dim)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Projections(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = linear(WIDTH, WIDTH), linear(WIDTH, KV_HEADS * HEAD), linear(WIDTH, KV_HEADS * HEAD)
        self.o = linear(WIDTH, WIDTH)

    def heads(self, x, n):
        return x.view(x.shape[0], x.shape[1], n, HEAD).transpose(1, 2)


class Attention(Projections):
    def forward(self, x, rope, v_first):
        q = rotate(self.heads(self.q(x), HEADS).float(), *rope)
        k = rotate(self.heads(self.k(x), KV_HEADS).float(), *rope)
        v = self.heads(self.v(x), KV_HEADS)
        group = HEADS // KV_HEADS
        y = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype).repeat_interleave(group, 1),
                                           v.repeat_interleave(group, 1), is_causal=True)
        return self.o(y.transpose(1, 2).reshape(x.shape)), v_first


class Rwkv7(Projections):
    def __init__(self, layer):
        super().__init__()
        self.first = layer == 0
        low = lambda rows, columns: nn.Parameter(torch.randn(rows, columns) * 0.02)
        n = torch.arange(WIDTH) / (WIDTH - 1)
        self.w0 = nn.Parameter(-6.5 + 5 * n ** (0.85 + (layer / (LAYERS - 1)) ** 0.5))
        self.w1, self.w2 = low(WIDTH, DECAY_RANK), low(DECAY_RANK, WIDTH)
        self.a0, self.a1, self.a2 = nn.Parameter(torch.zeros(WIDTH)), low(WIDTH, RATE_RANK), low(RATE_RANK, WIDTH)
        self.v0, self.v1, self.v2 = nn.Parameter(torch.ones(WIDTH)), low(WIDTH, VALUE_RANK), low(VALUE_RANK, WIDTH)
        self.g1, self.g2 = low(WIDTH, GATE_RANK), low(GATE_RANK, WIDTH)
        self.k_k, self.k_a = nn.Parameter(torch.full((WIDTH,), 0.85)), nn.Parameter(torch.ones(WIDTH))
        self.ln_x = nn.GroupNorm(HEADS, WIDTH, eps=HEAD * 1e-5)

    def forward(self, x, rope, v_first):
        wide = lambda y: self.heads(y, HEADS).float()
        group = HEADS // KV_HEADS
        r = rotate(self.heads(self.q(x), HEADS).float(), *rope)
        k = rotate(self.heads(self.k(x), KV_HEADS).float(), *rope).repeat_interleave(group, 1)
        v = self.heads(self.v(x), KV_HEADS).float().repeat_interleave(group, 1)
        log_w = wide(-math.exp(-0.5) * torch.sigmoid(self.w0 + (torch.tanh(x @ self.w1) @ self.w2).float()))
        rate = wide(torch.sigmoid(self.a0 + (x @ self.a1 @ self.a2).float()))
        if self.first:
            v_first = v
        else:
            v = v + (v_first - v) * wide(torch.sigmoid(self.v0 + (x @ self.v1 @ self.v2).float()))
        direction = F.normalize(k * self.k_k.view(1, HEADS, 1, HEAD), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a.view(1, HEADS, 1, HEAD))
        with torch.autocast("cpu", enabled=False):
            o = wkv7(r, log_w, k, v, -direction, direction * rate)
        o = self.ln_x(o.transpose(1, 2).reshape(-1, WIDTH)).view(x.shape)
        return self.o(o * (torch.sigmoid(x @ self.g1) @ self.g2)), v_first


class Block(nn.Module):
    def __init__(self, mixer):
        super().__init__()
        self.norm1, self.norm2 = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.ones(WIDTH))
        self.mixer = mixer
        self.gate, self.up, self.down = linear(WIDTH, FEED_FORWARD), linear(WIDTH, FEED_FORWARD), linear(FEED_FORWARD, WIDTH)

    def mixer_input(self, x):
        return F.rms_norm(x.float(), (WIDTH,), self.norm1, 1e-5)

    def after(self, x, mixed):
        x = x + mixed
        y = F.rms_norm(x.float(), (WIDTH,), self.norm2, 1e-5)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, mixer):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(WORDS, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(mixer(i)) for i in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(WIDTH))

    def forward(self, ids, rope):
        x, v_first = F.embedding(ids, self.embedding), None
        for block in self.blocks:
            mixed, v_first = block.mixer(block.mixer_input(x), rope, v_first)
            x = block.after(x, mixed)
        return F.rms_norm(x.float(), (WIDTH,), self.norm, 1e-5)


def align_step(teacher, mixers, ids, rope):
    x, v_first, loss = F.embedding(ids, teacher.embedding), None, 0.0
    for block, mixer in zip(teacher.blocks, mixers):
        with torch.no_grad():
            y = block.mixer_input(x)
            target, _ = block.mixer(y, rope, None)
        output, v_first = mixer(y, rope, v_first)
        loss = loss + torch.linalg.vector_norm((target - output).float(), dim=-1).mean() * WIDTH ** -0.5 / LAYERS
        with torch.no_grad():
            x = block.after(x, target)
    loss.backward()


def logits_step(teacher, student, ids, rope):
    with torch.no_grad():
        target = teacher(ids, rope).view(-1, WIDTH)
    hidden = student(ids, rope).view(-1, WIDTH)
    leaf = hidden.detach().requires_grad_()
    for i in range(0, len(leaf), 512):
        with torch.no_grad():
            wanted = F.log_softmax((target[i:i + 512] @ teacher.embedding.T).float(), -1)
        found = F.log_softmax((leaf[i:i + 512] @ student.embedding.T).float(), -1)
        (F.kl_div(found, wanted, reduction="sum", log_target=True) / len(leaf)).backward()
    hidden.backward(leaf.grad)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in dict(stage=1, batch=2, ctx=512, steps=4, threads=2).items():
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="bf16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ids = torch.randint(0, WORDS, (options.batch, options.ctx))
    angle = torch.outer(torch.arange(options.ctx).float(), 1e5 ** -(torch.arange(0, HEAD, 2) / HEAD)).repeat(1, 2)
    rope = angle.cos(), angle.sin()
    teacher = Model(lambda layer: Attention()).requires_grad_(False)
    student = nn.ModuleList(Rwkv7(i) for i in range(LAYERS)) if options.stage == 1 else Model(Rwkv7)
    step = align_step if options.stage == 1 else logits_step
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    seconds = []
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.dtype == "bf16"):
            step(teacher, student, ids, rope)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - begin)
    seconds = sorted(seconds[1:])
    tokens = options.batch * options.ctx
    print(json.dumps({"tokens_per_second": tokens / seconds[0], "median": tokens / seconds[len(seconds) // 2]}))


if __name__ == "__main__":
    main()
