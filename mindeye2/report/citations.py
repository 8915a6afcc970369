"""The works that a run may have to cite, and how they are printed: BibTeX, and a list of references."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """One publication. ``authors`` in BibTeX's form, "Family, Given and …"; ``doi`` or ``url`` says where it is."""

    key: str
    authors: str
    title: str
    year: int
    venue: str
    doi: str = ""
    url: str = ""
    kind: str = "article"

    @property
    def address(self) -> str:
        return f"https://doi.org/{self.doi}" if self.doi else self.url

    @property
    def line(self) -> str:
        """``Scotti et al. (2024). Title. Venue. https://doi.org/…``"""
        families = [author.split(",")[0].strip("{}") for author in self.authors.split(" and ")]
        named = " and ".join(families) if len(families) < 3 else f"{families[0]} et al."
        return f"{named} ({self.year}). {self.title}. *{self.venue}*. <{self.address}>"

    @property
    def bibtex(self) -> str:
        place = {"article": "journal", "inproceedings": "booktitle"}.get(self.kind, "howpublished")
        fields = {"author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year), place: self.venue}
        fields |= {"doi": self.doi} if self.doi else {"url": self.url}
        return f"@{self.kind}{{{self.key},\n" + "".join(f"  {k} = {{{v}}},\n" for k, v in fields.items()) + "}\n"


def _arxiv(number: str) -> str:
    return f"10.48550/arXiv.{number}"


_CONFERENCE = "inproceedings"
_WORKS = (
    Work(
        "scotti2024mindeye2",
        "Scotti, Paul S. and Tripathy, Mihir and Villanueva, Cesar Kadir Torrico and Kneeland, Reese and Chen, Tong "
        "and Narang, Ashutosh and Santhirasegaran, Charan and Xu, Jonathan and Naselaris, Thomas and "
        "Norman, Kenneth A. and Abraham, Tanishq Mathew",
        "MindEye2: Shared-subject models enable fMRI-to-image with 1 hour of data",
        2024,
        "International Conference on Machine Learning",
        _arxiv("2403.11207"),
        kind=_CONFERENCE,
    ),
    Work(
        "scotti2023mindeye",
        "Scotti, Paul S. and Banerjee, Atmadeep and Goode, Jimmie and Shabalin, Stepan and Nguyen, Alex and "
        "Cohen, Ethan and Dempster, Aidan J. and Verlinde, Nathalie and Yundler, Elad and Weisberg, David and "
        "Norman, Kenneth A. and Abraham, Tanishq Mathew",
        "Reconstructing the mind's eye: fMRI-to-image with contrastive learning and diffusion priors",
        2023,
        "Advances in Neural Information Processing Systems",
        _arxiv("2305.18274"),
        kind=_CONFERENCE,
    ),
    Work(
        "allen2022nsd",
        "Allen, Emily J. and St-Yves, Ghislain and Wu, Yihan and Breedlove, Jesse L. and Prince, Jacob S. and "
        "Dowdle, Logan T. and Nau, Matthias and Caron, Brad and Pestilli, Franco and Charest, Ian and "
        "Hutchinson, J. Benjamin and Naselaris, Thomas and Kay, Kendrick",
        "A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence",
        2022,
        "Nature Neuroscience",
        "10.1038/s41593-021-00962-x",
    ),
    Work(
        "lin2014coco",
        "Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva and "
        "Dollár, Piotr and Zitnick, C. Lawrence",
        "Microsoft COCO: Common objects in context",
        2014,
        "European Conference on Computer Vision",
        "10.1007/978-3-319-10602-1_48",
        kind=_CONFERENCE,
    ),
    Work(
        "prince2022glmsingle",
        "Prince, Jacob S. and Charest, Ian and Kurzawski, Jan W. and Pyles, John A. and Tarr, Michael J. and "
        "Kay, Kendrick N.",
        "Improving the accuracy of single-trial fMRI response estimates using GLMsingle",
        2022,
        "eLife",
        "10.7554/eLife.77599",
    ),
    Work(
        "haxby2001",
        "Haxby, James V. and Gobbini, M. Ida and Furey, Maura L. and Ishai, Alumit and Schouten, Jennifer L. and "
        "Pietrini, Pietro",
        "Distributed and overlapping representations of faces and objects in ventral temporal cortex",
        2001,
        "Science",
        "10.1126/science.1063736",
    ),
    Work(
        "hanke2009pymvpa",
        "Hanke, Michael and Halchenko, Yaroslav O. and Sederberg, Per B. and Hanson, Stephen José and "
        "Haxby, James V. and Pollmann, Stefan",
        "PyMVPA: A Python toolbox for multivariate pattern analysis of fMRI data",
        2009,
        "Neuroinformatics",
        "10.1007/s12021-008-9041-y",
    ),
    Work(
        "radford2021clip",
        "Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and "
        "Agarwal, Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and "
        "Krueger, Gretchen and Sutskever, Ilya",
        "Learning transferable visual models from natural language supervision",
        2021,
        "International Conference on Machine Learning",
        _arxiv("2103.00020"),
        kind=_CONFERENCE,
    ),
    Work(
        "ilharco2021openclip",
        "Ilharco, Gabriel and Wortsman, Mitchell and Wightman, Ross and Gordon, Cade and Carlini, Nicholas and "
        "Taori, Rohan and Dave, Achal and Shankar, Vaishaal and Namkoong, Hongseok and Miller, John and "
        "Hajishirzi, Hannaneh and Farhadi, Ali and Schmidt, Ludwig",
        "OpenCLIP",
        2021,
        "Zenodo",
        "10.5281/zenodo.5143773",
        kind="misc",
    ),
    Work(
        "cherti2023scaling",
        "Cherti, Mehdi and Beaumont, Romain and Wightman, Ross and Wortsman, Mitchell and Ilharco, Gabriel and "
        "Gordon, Cade and Schuhmann, Christoph and Schmidt, Ludwig and Jitsev, Jenia",
        "Reproducible scaling laws for contrastive language-image learning",
        2023,
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        "10.1109/CVPR52729.2023.00276",
        kind=_CONFERENCE,
    ),
    Work(
        "ramesh2022prior",
        "Ramesh, Aditya and Dhariwal, Prafulla and Nichol, Alex and Chu, Casey and Chen, Mark",
        "Hierarchical text-conditional image generation with CLIP latents",
        2022,
        "arXiv",
        _arxiv("2204.06125"),
    ),
    Work(
        "kim2020mixco",
        "Kim, Sungnyun and Lee, Gihun and Bae, Sangmin and Yun, Se-Young",
        "MixCo: Mix-up contrastive learning for visual representation",
        2020,
        "arXiv",
        _arxiv("2010.06300"),
    ),
    Work(
        "bardes2022vicregl",
        "Bardes, Adrien and Ponce, Jean and LeCun, Yann",
        "VICRegL: Self-supervised learning of local visual features",
        2022,
        "Advances in Neural Information Processing Systems",
        _arxiv("2210.01571"),
        kind=_CONFERENCE,
    ),
    Work(
        "loshchilov2019adamw",
        "Loshchilov, Ilya and Hutter, Frank",
        "Decoupled weight decay regularization",
        2019,
        "International Conference on Learning Representations",
        _arxiv("1711.05101"),
        kind=_CONFERENCE,
    ),
    Work(
        "lu2022dpm",
        "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun",
        "DPM-Solver++: Fast solver for guided sampling of diffusion probabilistic models",
        2022,
        "arXiv",
        _arxiv("2211.01095"),
    ),
    Work(
        "podell2023sdxl",
        "Podell, Dustin and English, Zion and Lacey, Kyle and Blattmann, Andreas and Dockhorn, Tim and "
        "Müller, Jonas and Penna, Joe and Rombach, Robin",
        "SDXL: Improving latent diffusion models for high-resolution image synthesis",
        2023,
        "arXiv",
        _arxiv("2307.01952"),
    ),
    Work(
        "wang2022git",
        "Wang, Jianfeng and Yang, Zhengyuan and Hu, Xiaowei and Li, Linjie and Lin, Kevin and Gan, Zhe and "
        "Liu, Zicheng and Liu, Ce and Wang, Lijuan",
        "GIT: A generative image-to-text transformer for vision and language",
        2022,
        "Transactions on Machine Learning Research",
        _arxiv("2205.14100"),
    ),
    Work(
        "wang2004ssim",
        "Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.",
        "Image quality assessment: From error visibility to structural similarity",
        2004,
        "IEEE Transactions on Image Processing",
        "10.1109/TIP.2003.819861",
    ),
    Work(
        "krizhevsky2012alexnet",
        "Krizhevsky, Alex and Sutskever, Ilya and Hinton, Geoffrey E.",
        "ImageNet classification with deep convolutional neural networks",
        2017,
        "Communications of the ACM",
        "10.1145/3065386",
    ),
    Work(
        "szegedy2016inception",
        "Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and Shlens, Jon and Wojna, Zbigniew",
        "Rethinking the Inception architecture for computer vision",
        2016,
        "IEEE Conference on Computer Vision and Pattern Recognition",
        "10.1109/CVPR.2016.308",
        kind=_CONFERENCE,
    ),
    Work(
        "tan2019efficientnet",
        "Tan, Mingxing and Le, Quoc V.",
        "EfficientNet: Rethinking model scaling for convolutional neural networks",
        2019,
        "International Conference on Machine Learning",
        _arxiv("1905.11946"),
        kind=_CONFERENCE,
    ),
    Work(
        "caron2020swav",
        "Caron, Mathilde and Misra, Ishan and Mairal, Julien and Goyal, Priya and Bojanowski, Piotr and Joulin, Armand",
        "Unsupervised learning of visual features by contrasting cluster assignments",
        2020,
        "Advances in Neural Information Processing Systems",
        _arxiv("2006.09882"),
        kind=_CONFERENCE,
    ),
    Work(
        "banerjee2005meteor",
        "Banerjee, Satanjeev and Lavie, Alon",
        "METEOR: An automatic metric for MT evaluation with improved correlation with human judgments",
        2005,
        "ACL Workshop on Intrinsic and Extrinsic Evaluation Measures for Machine Translation and/or Summarization",
        url="https://aclanthology.org/W05-0909/",
        kind=_CONFERENCE,
    ),
    Work(
        "lin2004rouge",
        "Lin, Chin-Yew",
        "ROUGE: A package for automatic evaluation of summaries",
        2004,
        "Text Summarization Branches Out",
        url="https://aclanthology.org/W04-1013/",
        kind=_CONFERENCE,
    ),
    Work(
        "reimers2019sbert",
        "Reimers, Nils and Gurevych, Iryna",
        "Sentence-BERT: Sentence embeddings using Siamese BERT-networks",
        2019,
        "Conference on Empirical Methods in Natural Language Processing",
        "10.18653/v1/D19-1410",
        kind=_CONFERENCE,
    ),
    Work(
        "styves2023gnet",
        "St-Yves, Ghislain and Allen, Emily J. and Wu, Yihan and Kay, Kendrick and Naselaris, Thomas",
        "Brain-optimized deep neural network models of human visual areas learn non-hierarchical representations",
        2023,
        "Nature Communications",
        "10.1038/s41467-023-38674-4",
    ),
    Work(
        "mcinnes2018umap",
        "McInnes, Leland and Healy, John and Melville, James",
        "UMAP: Uniform manifold approximation and projection for dimension reduction",
        2018,
        "arXiv",
        _arxiv("1802.03426"),
    ),
    Work(
        "molder2021snakemake",
        "Mölder, Felix and Jablonski, Kim Philipp and Letcher, Brice and Hall, Michael B. and "
        "Tomkins-Tinch, Christopher H. and Sochat, Vanessa and Forster, Jan and Lee, Soohyun and "
        "Twardziok, Sven O. and Kanitz, Alexander and Wilm, Andreas and Holtgrewe, Manuel and Rahmann, Sven and "
        "Nahnsen, Sven and Köster, Johannes",
        "Sustainable data analysis with Snakemake",
        2021,
        "F1000Research",
        "10.12688/f1000research.29032.2",
    ),
    Work(
        "paszke2019pytorch",
        "Paszke, Adam and Gross, Sam and Massa, Francisco and Lerer, Adam and Bradbury, James and Chanan, Gregory and "
        "Killeen, Trevor and Lin, Zeming and Gimelshein, Natalia and Antiga, Luca and others",
        "PyTorch: An imperative style, high-performance deep learning library",
        2019,
        "Advances in Neural Information Processing Systems",
        _arxiv("1912.01703"),
        kind=_CONFERENCE,
    ),
)
WORKS = {work.key: work for work in _WORKS}

CITED_BY_METRIC = {
    "ssim": "wang2004ssim",
    "alexnet2": "krizhevsky2012alexnet",
    "alexnet5": "krizhevsky2012alexnet",
    "inception": "szegedy2016inception",
    "efficientnet": "tan2019efficientnet",
    "swav": "caron2020swav",
    "meteor": "banerjee2005meteor",
    "rouge_1": "lin2004rouge",
    "rouge_l": "lin2004rouge",
    "sentence": "reimers2019sbert",
}
"""Metric -> the work that it or its network comes from."""


def bibliography(keys: Iterable[str]) -> str:
    """BibTeX of the works, in the order of ``keys``."""
    return "\n".join(WORKS[key].bibtex for key in keys)
