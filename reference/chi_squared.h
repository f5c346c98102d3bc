// The chi-squared distribution by LibTorch's incomplete gamma function, in f64: for tests of random draws.
#pragma once

namespace plumbline::reference {

// P(X >= x), X chi-squared with `degrees` > 0 degrees of freedom, x >= 0.
double chi_squared_tail(double x, double degrees);

// The x whose tail is `alpha`, 0 < alpha < 1.
double chi_squared_critical(double alpha, double degrees);

// P(X >= critical), X noncentral chi-squared: the sum over j of Poisson weights, mean `noncentrality` / 2, of
// the tails with degrees + 2j (Johnson, Kotz, Balakrishnan: Continuous Univariate Distributions 2, 29.3).
double chi_squared_power(double critical, double degrees, double noncentrality);

}  // namespace plumbline::reference
