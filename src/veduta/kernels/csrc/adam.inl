// Adam (Kingma & Ba 2015), fused: one read and one write of value and moments. `rates` repeats with the given period,
// a multiple of 16 or 1, so that columns of a row may learn at different rates.

constexpr std::int64_t ADAM_GRAIN = 1 << 14;  // a multiple of every vector's width

void adam(std::int64_t count, float* value, const float* gradient, float* first, float* second, const float* rates,
          int period, float beta1, float beta2, float eps, float correction1, float correction2) {
  const std::int64_t grain = period == 1 ? ADAM_GRAIN : (ADAM_GRAIN + period - 1) / period * period;
  parallel(static_cast<int>((count + grain - 1) / grain), [=](int job) {
    const std::int64_t end = (job + 1) * grain < count ? (job + 1) * grain : count;
    const F b1(beta1), b2(beta2), n1(1.0f - beta1), n2(1.0f - beta2), e(eps), k1(correction1), k2(correction2);
    int phase = 0;
    for (std::int64_t i = job * grain; i < end; i += F::W) {
      const int lanes = end - i < F::W ? static_cast<int>(end - i) : F::W;
      auto at = [=](const float* p) { return lanes == F::W ? load(p + i) : gather_tail(p + i, 1, lanes, 0.0f); };
      const F rate = period == 1 ? F(rates[0]) : load(rates + phase);
      phase = phase + F::W >= period ? 0 : phase + F::W;
      const F g = at(gradient);
      const F m = fma(b1, at(first), n1 * g);
      const F v = fma(b2, at(second), n2 * g * g);
      const F x = at(value) - rate * (m * k1) / (sqrt(v * k2) + e);
      if (lanes == F::W) {
        store(first + i, m);
        store(second + i, v);
        store(value + i, x);
      } else {
        scatter(first + i, 1, lanes, m);
        scatter(second + i, 1, lanes, v);
        scatter(value + i, 1, lanes, x);
      }
    }
  });
}
