#!/bin/sh
# The whole path on a small simulated survey: `make demo` runs this with the package on PATH.
set -eu

survey=demo
photoz-ssl simulate -n 200 --seed 1 -o "$survey" --overwrite
photoz-ssl predict "$survey/catalog.fits" --pdf --overwrite
photoz-ssl evaluate "$survey/catalog.photoz.fits" --plot "$survey/figures" --overwrite
photoz-ssl embed "$survey/catalog.fits" -o "$survey/atlas.h5" --overwrite
photoz-ssl similar "$survey/catalog.fits[#row <= 6]" --among "$survey/atlas.h5" -k 8 \
    -o "$survey/neighbours.fits" --mosaic "$survey/neighbours.png" --overwrite

cat <<END

Tables:   $survey/catalog.fits           the simulated catalogue, with its true redshifts
          $survey/catalog.photoz.fits    its photometric redshifts and PDFs
          $survey/neighbours.fits        look-alikes of its first six galaxies
Pictures: $survey/figures/               how good the redshifts are
          $survey/neighbours.png         the look-alikes
END
