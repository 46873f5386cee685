"""Draws a captured terminal as a PNG: tmux capture-pane -e -p -t PANE | python3 .readme/png.py OUT.png   (needs Pillow)

Blocks, braille and frames are drawn as shapes, so that the picture does not depend on a font's idea of them."""
import re, sys
from PIL import Image, ImageDraw, ImageFont

W, H = 10, 20
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono%s.ttf"
BACK, FORE = (16, 18, 24), (214, 216, 224)
ANSI = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
        (229, 229, 229), (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234),
        (214, 112, 214), (41, 184, 219), (255, 255, 255)]
BRAILLE = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
# Arms of a frame's characters: left, right, up, down.
FRAME = {c: a for cs, a in (("─━", "lr"), ("│┃", "ud"), ("╭┌┏", "rd"), ("╮┐┓", "ld"), ("╰└┗", "ru"), ("╯┘┛", "lu"),
                            ("┤", "lud"), ("├", "rud")) for c in cs}


def indexed(n):
    if n < 16:
        return ANSI[n]
    if n >= 232:
        return (8 + 10 * (n - 232),) * 3
    steps = [0, 95, 135, 175, 215, 255]
    n -= 16
    return steps[n // 36], steps[n // 6 % 6], steps[n % 6]


def apply(codes, state):
    codes = [int(c or 0) for c in codes.split(";")]
    while codes:
        c = codes.pop(0)
        if c == 0:
            state.update(fg=FORE, bg=BACK, bold=False)
        elif c in (1, 22):
            state["bold"] = c == 1
        elif c in (38, 48):
            key, kind = ("fg", "bg")[c == 48], codes.pop(0)
            state[key] = tuple(codes.pop(0) for _ in range(3)) if kind == 2 else indexed(codes.pop(0))
        elif c in (39, 49):
            state["fg" if c == 39 else "bg"] = FORE if c == 39 else BACK
        elif 30 <= c <= 37 or 90 <= c <= 97:
            state["fg"] = ANSI[c - 30 if c < 90 else c - 82]
        elif 40 <= c <= 47 or 100 <= c <= 107:
            state["bg"] = ANSI[c - 40 if c < 100 else c - 92]


def cell(draw, x, y, ch, state, fonts):
    fg, bg = state["fg"], state["bg"]
    draw.rectangle((x, y, x + W - 1, y + H - 1), fill=bg)
    code = ord(ch)
    if ch == "█":
        draw.rectangle((x, y, x + W - 1, y + H - 1), fill=fg)
    elif ch == "▀":
        draw.rectangle((x, y, x + W - 1, y + H // 2 - 1), fill=fg)
    elif 0x2581 <= code <= 0x2587:
        draw.rectangle((x, y + H - (code - 0x2580) * H // 8, x + W - 1, y + H - 1), fill=fg)
    elif 0x2800 <= code <= 0x28FF:
        for bit, (cx, cy) in enumerate(BRAILLE):
            if code >> bit & 1:
                px, py = x + 1 + cx * 5, y + 1 + cy * 5
                draw.ellipse((px, py, px + 2.6, py + 2.6), fill=fg)
    elif ch in FRAME:
        thick = 1 if ch in "━┃┏┓┗┛" else 0
        mx, my = x + W // 2, y + H // 2
        for arm in FRAME[ch]:
            end = {"l": (x, my), "r": (x + W - 1, my), "u": (mx, y), "d": (mx, y + H - 1)}[arm]
            box = (min(mx, end[0]), min(my, end[1]), max(mx, end[0]) + thick, max(my, end[1]) + thick)
            draw.rectangle(box, fill=fg)
    elif ch != " ":
        draw.text((x, y + 1), ch, fill=fg, font=fonts[state["bold"]])


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    parsed, state = [], dict(fg=FORE, bg=BACK, bold=False)
    for line in lines:
        row = []
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            if part.startswith("\x1b["):
                apply(part[2:-1], state)
            else:
                row += [(ch, dict(state)) for ch in part]
        parsed.append(row)
    image = Image.new("RGB", (W * max(map(len, parsed)), H * len(parsed)), BACK)
    draw = ImageDraw.Draw(image)
    fonts = [ImageFont.truetype(FONT % kind, 16) for kind in ("", "-Bold")]
    for r, row in enumerate(parsed):
        for c, (ch, style) in enumerate(row):
            cell(draw, c * W, r * H, ch, style, fonts)
    image.save(sys.argv[1], optimize=True)


main()
