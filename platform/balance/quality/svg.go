package quality

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// SVG draws results: how many calls reached the bad instance, in each case, and
// how slow the slowest answers were as the load grew. What there are no results
// of is left out. The picture needs nothing but itself, and can be read on light
// and on dark ground.
func SVG(w io.Writer, results []Result) error {
	d := &drawing{colours: make(map[string]string)}
	for _, r := range results {
		if d.colours[r.Entrant] == "" {
			d.colours[r.Entrant] = palette[len(d.colours)%len(palette)]
		}
	}
	d.shares(results)
	d.ramp(results)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">%s%s</svg>`+"\n",
		width, d.y+20, style, d.out.String())
	return err
}

const (
	width  = 1000
	margin = 190 // for names

	style = "\n<style>text{fill:#3d444d}.faint{fill:#6e7781}.grid{stroke:#8c959f;stroke-opacity:.35}.aim{stroke:#1a7f37;stroke-dasharray:4 3}" +
		"@media(prefers-color-scheme:dark){text{fill:#d1d7e0}.faint{fill:#9198a1}.aim{stroke:#3fb950}}</style>\n"
)

// palette has middling colours, which stand out from white and from black.
var palette = [...]string{"#2f81f7", "#1f9d55", "#c99400", "#8c8c8c", "#6b7fa3", "#a0703c", "#b65fcf", "#d6609a", "#e5534b", "#e0823d", "#b3a100", "#cc5c7a", "#7d6bd6"}

// A drawing grows downwards.
type drawing struct {
	out     strings.Builder
	y       int
	colours map[string]string // of entrants
}

func (d *drawing) put(format string, args ...any) { fmt.Fprintf(&d.out, format+"\n", args...) }

func (d *drawing) text(x, y float64, anchor, class, words string) {
	d.put(`<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(words))
}

func (d *drawing) stroke(class string, x1, y1, x2, y2 float64) {
	d.put(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// A scale maps figures to a line, by their logarithm. What lies outside is drawn
// at the end.
type scale struct{ low, high, from, to float64 }

func (s scale) at(x float64) float64 {
	x = min(max(x, s.low), s.high)
	return s.from + (s.to-s.from)*math.Log(x/s.low)/math.Log(s.high/s.low)
}

// shares draws a panel for each scenario and a dot for each number of
// instances.
func (d *drawing) shares(results []Result) {
	kind := tables()[0].of
	var names, rows []string
	for _, r := range results {
		if !kind(r) || r.Offered > 0 {
			continue
		}
		if !slices.Contains(names, r.Scenario) {
			names = append(names, r.Scenario)
		}
		if !slices.Contains(rows, r.Entrant) {
			rows = append(rows, r.Entrant)
		}
	}
	if len(names) == 0 {
		return
	}
	d.text(10, float64(d.y+24), "start", "", "Calls that reached the bad instance, in percent (logarithmic); the larger the dot, the more instances; dashed: the targets, 0.5 % and 1 %")
	top, high, wide := float64(d.y+58), 20.0, float64(width-margin-10)/float64(len(names))
	bottom := top + high*float64(len(rows))
	for i, name := range names {
		x := scale{0.05, 100, margin + wide*float64(i) + 8, margin + wide*float64(i+1) - 14}
		d.text(x.from, top-14, "start", "", name)
		for _, tick := range []float64{0.1, 1, 10, 100} {
			d.stroke("grid", x.at(tick), top-6, x.at(tick), bottom)
			d.text(x.at(tick), bottom+14, "middle", "faint", fmt.Sprint(tick))
		}
		for _, aim := range []float64{0.5, 1} {
			d.stroke("aim", x.at(aim), top-6, x.at(aim), bottom)
		}
		for _, r := range results {
			if r.Scenario == name {
				y := top + high*(float64(slices.Index(rows, r.Entrant))+0.5)
				d.put(`<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" fill-opacity=".75"><title>%s, %d instances: %.2f %%</title></circle>`,
					x.at(r.Share()), y, 2+1.2*math.Log10(float64(r.Instances)), d.colours[r.Entrant], html.EscapeString(r.Entrant), r.Instances, r.Share())
			}
		}
	}
	for i, row := range rows {
		d.text(margin-8, top+high*(float64(i)+0.5)+4, "end", "", row)
	}
	d.y = int(bottom) + 24
}

// ramp draws a line for each entrant, and its name where the line ends.
func (d *drawing) ramp(results []Result) {
	lines := make(map[string][]Result)
	var names []string
	for _, r := range results {
		if r.Offered == 0 {
			continue
		}
		if lines[r.Entrant] == nil {
			names = append(names, r.Entrant)
		}
		lines[r.Entrant] = append(lines[r.Entrant], r)
	}
	if len(names) == 0 {
		return
	}
	d.text(10, float64(d.y+24), "start", "", "99 of 100 answers took at most so many milliseconds, by load (in parts of what the instances are granted); calls are given up after 5 s")
	top := float64(d.y + 44)
	bottom := top + max(300, 15*float64(len(names)))
	first := lines[names[0]]
	x := scale{first[0].Offered, first[len(first)-1].Offered, 60, width - margin - 20}
	y := scale{200, float64(Patience.Milliseconds()), bottom, top}
	for _, r := range first {
		d.stroke("grid", x.at(r.Offered), top, x.at(r.Offered), bottom)
		d.text(x.at(r.Offered), bottom+16, "middle", "faint", fmt.Sprintf("%.2f", r.Offered))
	}
	for _, tick := range []float64{200, 500, 1000, 2000, 5000} {
		d.stroke("grid", x.from, y.at(tick), x.to, y.at(tick))
		d.text(x.from-6, y.at(tick)+4, "end", "faint", fmt.Sprint(tick))
	}
	ends := make(map[string]float64)
	for _, name := range names {
		var points []string
		for _, r := range lines[name] {
			at := y.at(float64(r.P99.Milliseconds()))
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(r.Offered), at))
			ends[name] = at
		}
		d.put(`<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`, d.colours[name], strings.Join(points, " "))
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(ends[a], ends[b]) })
	free := top - 4
	for _, name := range names {
		free = max(free, ends[name]-7)
		d.put(`<rect x="%.1f" y="%.1f" width="10" height="10" fill="%s"/>`, x.to+10, free, d.colours[name])
		d.text(x.to+26, free+9, "start", "", name)
		free += 15
	}
	d.y = int(max(bottom, free)) + 24
}
